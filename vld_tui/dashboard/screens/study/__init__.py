"""The list of studies, and one study."""
