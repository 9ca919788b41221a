"""Text, numbers and columns: strings, and nothing that knows of runs."""
