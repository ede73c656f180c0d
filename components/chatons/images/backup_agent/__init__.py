"""The backup agent of one service: snapshots, retention, checks and restores; see docs/backup-agent.md.

It runs in an image of its own with nothing but Debian's packages, so within it imports are relative, and
there is only the standard library beside psycopg2, APScheduler and SQLAlchemy.
"""
