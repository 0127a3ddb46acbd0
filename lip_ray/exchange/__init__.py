"""Import and export: tickets and generators as files."""
