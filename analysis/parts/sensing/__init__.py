"""Compressed sensing with generators."""
