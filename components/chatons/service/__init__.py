"""The resources of one service, and the edge that publishes it."""
