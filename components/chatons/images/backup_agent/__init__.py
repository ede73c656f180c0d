"""The backup agent of one service: snapshots, retention, checks and restores; see docs/backup-agent.md.

It runs in an image of its own with nothing but Debian's packages: imports within it are relative, and besides
the standard library there are only psycopg2 and croniter.
"""
