"""Sparse execution: a fit's steps on the kept weights only."""
