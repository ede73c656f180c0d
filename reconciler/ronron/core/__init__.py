"""What the reconciler decides, as functions of values and `now`: no clock, file, network or log."""
