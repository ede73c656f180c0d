"""Runs programs of this machine, such as git and the Pulumi engine; only adapters use it."""
