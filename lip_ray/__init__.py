"""Distributed sweeps that map the accuracy-sparsity frontier of image priors."""

from importlib.metadata import version

__version__ = version("lip-ray")
