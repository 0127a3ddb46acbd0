"""The shipped sweeps, and the JSON schema by which editors check sweep files."""
