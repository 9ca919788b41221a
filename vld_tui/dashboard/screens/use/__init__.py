"""The forms that use a trained run: predict, evaluate and export."""
