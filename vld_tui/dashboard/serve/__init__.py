"""The dashboard in a browser: textual-serve, behind a token."""
