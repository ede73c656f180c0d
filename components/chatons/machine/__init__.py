"""Machines that are reached by ssh: first contact and setup for Docker."""
