"""Gets or builds what Ronron needs: the engine, its plugins, a Docker engine and, if need be, images."""
