"""Virtual environments for programs, made by uv from their lock files."""
