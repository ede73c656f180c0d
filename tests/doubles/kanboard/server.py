"""The double of Kanboard: begins as root, hands its volumes to the web server's user, and becomes it."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from pathlib import Path
from typing import Any

from contract import Database, NotThereError, Request, Row, serve

WEB_SERVER = 33
DATA = Path("/var/www/app/data")
FILES = DATA / "files"

SCHEMA = """
CREATE TABLE IF NOT EXISTS users (
    id serial PRIMARY KEY, username varchar(255) NOT NULL UNIQUE, name varchar(255), email varchar(255),
    role varchar(25) NOT NULL DEFAULT 'app-user', is_active boolean DEFAULT true);
INSERT INTO users (username, role) VALUES ('admin', 'app-admin') ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS projects (
    id serial PRIMARY KEY, name text NOT NULL, is_active boolean DEFAULT true,
    last_modified bigint DEFAULT 0);
CREATE TABLE IF NOT EXISTS tasks (
    id serial PRIMARY KEY, title text NOT NULL, description text, date_creation bigint,
    project_id integer NOT NULL REFERENCES projects ON DELETE CASCADE, owner_id integer DEFAULT 0,
    creator_id integer DEFAULT 0, is_active smallint DEFAULT 1);
CREATE TABLE IF NOT EXISTS comments (
    id serial PRIMARY KEY, task_id integer NOT NULL REFERENCES tasks ON DELETE CASCADE,
    user_id integer DEFAULT 0, date_creation bigint NOT NULL, comment text NOT NULL);
CREATE TABLE IF NOT EXISTS task_has_files (
    id serial PRIMARY KEY, name text NOT NULL, path text NOT NULL, is_image boolean DEFAULT false,
    task_id integer NOT NULL REFERENCES tasks ON DELETE CASCADE, date bigint NOT NULL DEFAULT 0,
    user_id integer NOT NULL DEFAULT 0, size integer NOT NULL DEFAULT 0);
"""

database = Database(os.environ["DATABASE_URL"].replace("postgres://", "postgresql://", 1))


def step_down() -> None:
    """Give the volumes and all in them away and become the web server's user, as the real entrypoint does."""
    for folder in (DATA, Path("/var/www/app/plugins")):
        for each in (folder, *folder.rglob("*")):
            os.chown(each, WEB_SERVER, WEB_SERVER, follow_symlinks=False)
    os.setgroups([])
    os.setgid(WEB_SERVER)
    os.setuid(WEB_SERVER)


def now() -> int:
    return int(time.time())


def create_user(username: str, **given: Any) -> int:
    row = database.insert("users", username=username, name=given.get("name"), email=given.get("email"))
    return int(row["id"])


def create_project(name: str) -> int:
    return int(database.insert("projects", name=name, last_modified=now())["id"])


def create_task(title: str, project_id: int, owner_id: int = 0, description: str = "") -> int:
    row = database.insert(
        "tasks",
        title=title,
        description=description,
        date_creation=now(),
        project_id=project_id,
        owner_id=owner_id,
    )
    return int(row["id"])


def create_comment(task_id: int, user_id: int, content: str) -> int:
    row = database.insert("comments", task_id=task_id, user_id=user_id, date_creation=now(), comment=content)
    return int(row["id"])


def create_task_file(project_id: int, task_id: int, filename: str, blob: str) -> int:
    """A file below the data volume, then its row. `blob` is in base64; `project_id` tells nothing new."""
    content = base64.b64decode(blob, validate=True)
    salt = f"{project_id} {filename} {time.time_ns()}"
    path = f"tasks/{task_id}/{hashlib.sha1(salt.encode()).hexdigest()}"  # noqa: S324  # a name, as upstream's
    (FILES / path).parent.mkdir(parents=True, exist_ok=True)
    (FILES / path).write_bytes(content)
    row = database.insert(
        "task_has_files", name=filename, path=path, task_id=task_id, date=now(), size=len(content)
    )
    return int(row["id"])


def download_task_file(file_id: int) -> str:
    row = database.one("SELECT path FROM task_has_files WHERE id = %s", file_id)
    return base64.b64encode((FILES / row["path"]).read_bytes()).decode()


PROCEDURES = {
    "createUser": create_user,
    "getAllUsers": lambda: database.rows("SELECT * FROM users ORDER BY id"),
    "createProject": create_project,
    "getAllProjects": lambda: database.rows("SELECT * FROM projects ORDER BY id"),
    "createTask": create_task,
    "getTask": lambda task_id: database.one("SELECT * FROM tasks WHERE id = %s", task_id),
    "getAllTasks": lambda project_id, status_id=1: database.rows(
        "SELECT * FROM tasks WHERE project_id = %s AND is_active = %s ORDER BY id", project_id, status_id
    ),
    "createComment": create_comment,
    "getAllComments": lambda task_id: database.rows(
        "SELECT * FROM comments WHERE task_id = %s ORDER BY id", task_id
    ),
    "createTaskFile": create_task_file,
    "getAllTaskFiles": lambda task_id: database.rows(
        "SELECT * FROM task_has_files WHERE task_id = %s ORDER BY id", task_id
    ),
    "downloadTaskFile": download_task_file,
}


def call(request: Request) -> Row:
    """One JSON-RPC 2.0 call with named parameters."""
    asked = request.json()
    answer: Row = {"jsonrpc": "2.0", "id": asked.get("id")}
    try:
        return {**answer, "result": PROCEDURES[asked["method"]](**asked.get("params", {}))}
    except NotThereError:
        return {**answer, "result": None}
    except (KeyError, TypeError) as error:
        return {**answer, "error": {"code": -32601, "message": repr(error)}}


serve(
    80, "/healthcheck.php", database, SCHEMA, [("POST", "/jsonrpc.php", call)], "Kanboard", started=step_down
)
