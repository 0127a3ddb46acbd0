"""Claims about a store's fits, each with its numbers and its verdict."""
