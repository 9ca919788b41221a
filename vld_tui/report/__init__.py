"""Study reports: tables, figures and an HTML page."""
