"""The frontier: all fits of all scenes in one figure."""
