"""Git as a source."""
