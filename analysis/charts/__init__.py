"""How figures look, and the kinds of chart that several parts draw."""
