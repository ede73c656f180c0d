"""Many passes: the loop, and what the watcher does between them."""
