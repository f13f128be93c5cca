"""The demo: two tables, from import to pictures."""
