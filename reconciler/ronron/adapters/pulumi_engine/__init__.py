"""Pulumi as an engine."""
