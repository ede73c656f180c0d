"""One pass over one environment: its steps, in order."""
