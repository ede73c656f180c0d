"""The double of Kanboard: begins as root, hands its volumes to the web server's user, and becomes it."""

from __future__ import annotations

import os
from pathlib import Path

from contract import Rows, serve

WEB_SERVER = 33
DATA = Path("/var/www/app/data")


def step_down() -> None:
    """Give the volumes away and become the web server's user, as the real entrypoint does."""
    for folder in (DATA, Path("/var/www/app/plugins")):
        os.chown(folder, WEB_SERVER, WEB_SERVER)
    os.setgroups([])
    os.setgid(WEB_SERVER)
    os.setuid(WEB_SERVER)


rows = Rows(os.environ["DATABASE_URL"].replace("postgres://", "postgresql://", 1), "tasks")
serve(80, "/healthcheck.php", rows, DATA, "Kanboard", started=step_down)
