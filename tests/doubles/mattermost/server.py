"""The double of Mattermost: reads the variables that the real one reads, and keeps what it keeps."""

from __future__ import annotations

import mimetypes
import os
import secrets
import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from contract import Database, Request, Row, serve

ROOT = Path("/mattermost")
DATA = ROOT / "data"
ALPHABET = "ybndrfg8ejkmcpqxot1uwisza345h769"
"""Of its ids: 26 of these. Source: mattermost/mattermost, server/public/model/utils.go."""
ID = "([a-z0-9]{26})"

SCHEMA = """
CREATE TABLE IF NOT EXISTS users (
    id varchar(26) PRIMARY KEY, createat bigint, updateat bigint, deleteat bigint,
    username varchar(64) UNIQUE, email varchar(128) UNIQUE, nickname varchar(64) DEFAULT '');
CREATE TABLE IF NOT EXISTS teams (
    id varchar(26) PRIMARY KEY, createat bigint, updateat bigint, deleteat bigint,
    displayname varchar(64), name varchar(64) UNIQUE, type varchar(255));
CREATE TABLE IF NOT EXISTS channels (
    id varchar(26) PRIMARY KEY, createat bigint, updateat bigint, deleteat bigint,
    teamid varchar(26), type varchar(1), displayname varchar(64), name varchar(64), UNIQUE (name, teamid));
CREATE TABLE IF NOT EXISTS posts (
    id varchar(26) PRIMARY KEY, createat bigint, updateat bigint, deleteat bigint,
    userid varchar(26), channelid varchar(26), rootid varchar(26) DEFAULT '',
    message varchar(65535), fileids varchar(300));
CREATE TABLE IF NOT EXISTS fileinfo (
    id varchar(26) PRIMARY KEY, creatorid varchar(26), postid varchar(26), channelid varchar(26),
    createat bigint, updateat bigint, deleteat bigint,
    path varchar(512), name varchar(256), extension varchar(64), size bigint, mimetype varchar(256));
"""

# libpq knows the parameters that are given here, and the scheme by its other name too.
database = Database(
    urlunsplit(urlsplit(os.environ["MM_SQLSETTINGS_DATASOURCE"])._replace(scheme="postgresql"))
)


def add(table: str, **row: object) -> Row:
    """Write a row with an id and the time, in milliseconds."""
    now = time.time_ns() // 1_000_000
    new = "".join(secrets.choice(ALPHABET) for _ in range(26))
    return database.insert(table, id=new, createat=now, updateat=now, deleteat=0, **row)


def told(row: Row, **names: str) -> Row:
    """A row as its API tells it: some names have an underscore there."""
    return {names.get(key, key): value for key, value in row.items()}


def user(row: Row) -> Row:
    return told(row, createat="create_at", updateat="update_at", deleteat="delete_at")


def post(row: Row) -> Row:
    ids = {"fileids": row["fileids"].split() if row["fileids"] else []}
    return told({**row, **ids}, userid="user_id", channelid="channel_id", fileids="file_ids")


def file(row: Row) -> Row:
    return told(row, creatorid="user_id", postid="post_id", mimetype="mime_type")


def add_user(request: Request) -> Row:
    given = request.json()
    return user(add("users", username=given["username"], email=given["email"]))


def add_team(request: Request) -> Row:
    given = request.json()
    return add("teams", name=given["name"], displayname=given["display_name"], type=given["type"])


def add_channel(request: Request) -> Row:
    given = request.json()
    return add(
        "channels",
        teamid=given["team_id"],
        name=given["name"],
        displayname=given["display_name"],
        type=given["type"],
    )


def add_file(request: Request) -> Row:
    """The body is the file: the real one takes that besides forms with several parts."""
    channel, name = request.query["channel_id"], Path(request.query["filename"]).name
    row = add(
        "fileinfo",
        creatorid="nouser",
        postid="",
        channelid=channel,
        path="",
        name=name,
        extension=Path(name).suffix.removeprefix("."),
        size=len(request.body),
        mimetype=mimetypes.guess_type(name)[0] or "application/octet-stream",
    )
    day = time.strftime("%Y%m%d", time.gmtime())
    path = f"{day}/teams/noteam/channels/{channel}/users/nouser/{row['id']}/{name}"
    (DATA / path).parent.mkdir(parents=True)
    (DATA / path).write_bytes(request.body)
    row = database.one("UPDATE fileinfo SET path = %s WHERE id = %s RETURNING *", path, row["id"])
    return {"file_infos": [file(row)], "client_ids": []}


def add_post(request: Request) -> Row:
    given = request.json()
    files = given.get("file_ids") or []
    row = add(
        "posts",
        userid=given.get("user_id", ""),
        channelid=given["channel_id"],
        message=given["message"],
        fileids=" ".join(files),
    )
    for each in files:
        database.one("UPDATE fileinfo SET postid = %s WHERE id = %s RETURNING id", row["id"], each)
    return post(row)


def posts_of_channel(request: Request) -> Row:
    """The newest first."""
    rows = database.rows(
        "SELECT * FROM posts WHERE channelid = %s AND deleteat = 0 ORDER BY createat DESC", *request.words
    )
    return {"order": [row["id"] for row in rows], "posts": {row["id"]: post(row) for row in rows}}


def info_of_file(request: Request) -> Row:
    return file(database.one("SELECT * FROM fileinfo WHERE id = %s", *request.words))


def content_of_file(request: Request) -> bytes:
    return (DATA / info_of_file(request)["path"]).read_bytes()


for folder in ("config", "data", "logs", "plugins", "client/plugins"):
    # The real one writes into each of them, and fails where it may not.
    (ROOT / folder / ".written").touch()
serve(
    int(os.environ["MM_SERVICESETTINGS_LISTENADDRESS"].rpartition(":")[2]),
    "/api/v4/system/ping",
    database,
    SCHEMA,
    [
        ("POST", "/api/v4/users", add_user),
        (
            "GET",
            "/api/v4/users/username/([a-z0-9._-]+)",
            lambda request: user(database.one("SELECT * FROM users WHERE username = %s", *request.words)),
        ),
        ("POST", "/api/v4/teams", add_team),
        ("POST", "/api/v4/channels", add_channel),
        ("GET", f"/api/v4/channels/{ID}/posts", posts_of_channel),
        ("POST", "/api/v4/files", add_file),
        ("GET", f"/api/v4/files/{ID}", content_of_file),
        ("GET", f"/api/v4/files/{ID}/info", info_of_file),
        ("POST", "/api/v4/posts", add_post),
        (
            "GET",
            f"/api/v4/posts/{ID}",
            lambda request: post(database.one("SELECT * FROM posts WHERE id = %s", *request.words)),
        ),
    ],
    title=os.environ["MM_SERVICESETTINGS_SITEURL"],
)
