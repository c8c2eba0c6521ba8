"""What is shown of a session: pages, plots, tables."""
