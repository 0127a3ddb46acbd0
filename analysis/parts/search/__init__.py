"""What a search found, and which of its fields matter."""
