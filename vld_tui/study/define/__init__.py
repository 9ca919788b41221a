"""A study as its file defines it: fields, grids and the runs they make."""
