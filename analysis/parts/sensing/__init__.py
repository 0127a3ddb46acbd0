"""The part about compressed sensing with generators."""
