"""The explorer: all fits of all scenes in one figure."""
