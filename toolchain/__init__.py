"""Gets or builds what Ronron stands on: the engine, its plugin, a Docker engine and, if need be, images."""
