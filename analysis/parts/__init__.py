"""The parts of the page: each has its table, its figure and its sections."""
