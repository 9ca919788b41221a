"""The form of a new run: every field, validated while typing."""
