"""Means, intervals and published numbers."""
