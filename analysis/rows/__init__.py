"""Rows of the store with their names: what is compared, and what it is called."""
