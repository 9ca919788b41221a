"""The dashboard in a browser: textual-serve, protected by a token."""
