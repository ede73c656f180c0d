"""Adapters to the outside world; each implements a port and imports no other adapter."""
