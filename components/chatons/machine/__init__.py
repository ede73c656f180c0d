"""A machine reached by ssh: first contact, and its setup for Docker."""
