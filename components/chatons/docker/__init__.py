"""A machine's Docker engine: its provider, its containers, and the checks before an update."""
