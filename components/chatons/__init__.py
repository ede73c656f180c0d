"""The Pulumi program: a declaration, and the resources that it describes."""

__version__ = "0.1.0"
"""Of the release, which a collective's lock file names."""
