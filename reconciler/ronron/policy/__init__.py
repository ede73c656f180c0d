"""Reads `environments.yaml` and the short notations in it."""
