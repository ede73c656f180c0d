"""Ronron end to end on this machine: a repository, a watcher, a pad, a pushed change.

`python -m demo up` runs it, `down` removes what it made and nothing else, and `env` prints the shell
environment in which `ronron` and `pulumi` use the demo.
"""
