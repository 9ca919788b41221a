"""Output of the command line: tables, images and plans."""
