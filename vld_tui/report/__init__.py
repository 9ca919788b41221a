"""Reports on studies: tables, figures and a page, written from what its runs reached."""
