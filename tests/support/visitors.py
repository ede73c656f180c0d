"""Visitors of a chat and a board: they write and read by the HTTP calls that upstream's servers have."""

from __future__ import annotations

import base64
import itertools
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.collectives import Collective


@dataclass
class Chat:
    """A member of a Mattermost behind the edge."""

    collective: Collective
    hostname: str = "chat.localhost"

    def settle(self) -> str:
        """Make a user, a team and a channel; returns the id of the channel."""
        self.user = self._post("users", username="ana", email="ana@ronron.invalid", password="a-long-one")[
            "id"
        ]
        team = self._post("teams", name="collective", display_name="Collective", type="O")["id"]
        return str(self._post("channels", team_id=team, name="town", display_name="Town", type="O")["id"])

    def write(self, channel: str, message: str, **attachments: bytes) -> str:
        """Post a message with attachments, by their names with `_` for the dot; returns its id."""
        files = [self._attach(channel, name.replace("_", "."), it) for name, it in attachments.items()]
        post = self._post("posts", channel_id=channel, message=message, file_ids=files, user_id=self.user)
        return str(post["id"])

    def messages(self, channel: str) -> list[str]:
        """What was said, in order."""
        answer = self._get(f"channels/{channel}/posts").json()
        return [answer["posts"][each]["message"] for each in reversed(answer["order"])]

    def attachments(self, post: str) -> dict[str, bytes]:
        """The attachments of a post."""
        files = self._get(f"posts/{post}").json()["file_ids"]
        return {
            self._get(f"files/{each}/info").json()["name"]: self._get(f"files/{each}").content
            for each in files
        }

    def _attach(self, channel: str, name: str, content: bytes) -> str:
        answer = self.collective.ask(
            "POST",
            self.hostname,
            "/api/v4/files",
            params={"channel_id": channel, "filename": name},
            content=content,
        )
        return str(answer.raise_for_status().json()["file_infos"][0]["id"])

    def _post(self, what: str, **body: object) -> dict[str, Any]:
        answer = self.collective.ask("POST", self.hostname, f"/api/v4/{what}", json=body)
        document: dict[str, Any] = answer.raise_for_status().json()
        return document

    def _get(self, what: str) -> httpx.Response:
        return self.collective.get(self.hostname, f"/api/v4/{what}").raise_for_status()


@dataclass
class Board:
    """A user of a Kanboard behind the edge; `login` is what the edge asks of members."""

    collective: Collective
    hostname: str = "board.localhost"
    login: httpx.Auth | None = None
    _calls: itertools.count[int] = field(default_factory=itertools.count)

    def settle(self) -> int:
        """Make a user and a project; returns the id of the project."""
        self.user = self.call("createUser", username="ana", password="a-long-one", name="Ana")
        return int(self.call("createProject", name="Housekeeping"))

    def write(self, project: int, title: str, **attachments: bytes) -> int:
        """Make a task with a comment and attachments, by their names with `_` for the dot; returns its id."""
        task = int(self.call("createTask", title=title, project_id=project, owner_id=self.user))
        self.call("createComment", task_id=task, user_id=self.user, content=f"about {title}")
        for name, content in attachments.items():
            self.call(
                "createTaskFile",
                project_id=project,
                task_id=task,
                filename=name.replace("_", "."),
                blob=base64.b64encode(content).decode(),
            )
        return task

    def titles(self, project: int) -> list[str]:
        """Of the open tasks, in order."""
        return [task["title"] for task in self.call("getAllTasks", project_id=project)]

    def owner(self, task: int) -> str:
        """The name of the user whose task it is."""
        owner = self.call("getTask", task_id=task)["owner_id"]
        return next(str(user["username"]) for user in self.call("getAllUsers") if user["id"] == owner)

    def attachments(self, task: int) -> dict[str, bytes]:
        """The attachments of a task."""
        return {
            file["name"]: base64.b64decode(self.call("downloadTaskFile", file_id=file["id"]))
            for file in self.call("getAllTaskFiles", task_id=task)
        }

    def call(self, method: str, **params: object) -> Any:
        """One call of the board's API."""
        body = {"jsonrpc": "2.0", "id": next(self._calls), "method": method, "params": params}
        answer = self.collective.ask("POST", self.hostname, "/jsonrpc.php", json=body, auth=self.login)
        document = answer.raise_for_status().json()
        assert "error" not in document, document
        return document["result"]
