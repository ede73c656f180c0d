"""A collective in which something was written through HTTP, with backups of all of it."""

from __future__ import annotations

import io
import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container

from demo.pad import Pad
from tests.support.collectives import Collective, Document, Ran, empty, web
from tests.support.visitors import Board

SECRETS = ("pad-database-password", "pad-admin-password", "board-database-password")
SERVICES = ("board", "notes", "pad")
PICTURE = bytes(range(256)) * 64
PAGES = (
    '[ -e /srv/index.html ] || echo "a page" > /srv/index.html; '
    "exec caddy file-server --listen :8000 --root /srv"
)


@dataclass
class LivedIn:
    """A pad, a board, and notes: a site of files that has no database.

    Args:
        collective: whose.
        doubles: the images of the doubles, by kind.
        services: which of them there are; `board` always.
    """

    collective: Collective
    doubles: Mapping[str, str]
    services: tuple[str, ...] = SERVICES
    project: int = 0
    task: int = 0
    revision: str = ""
    _made: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.board = Board(self.collective)

    @property
    def pad(self) -> Pad:
        """A visitor of the pad."""
        return Pad("pad.localhost", self.collective.port, self.container("pad"))

    def container(self, role: str) -> str:
        """The name of a container, or of a volume."""
        return f"{self.collective.name}-local-{role}"

    def declare(self, board_image: str | None = None) -> None:
        """Write the stack file.

        Args:
            board_image: another image of the board than at first.
        """
        images = self.collective.images
        every: Document = {
            "pad": {
                "kind": "etherpad",
                "image": images["etherpad"],
                "hostname": "pad.localhost",
                "environment": {"AUTHENTICATION_METHOD": "apikey"},
            },
            "board": {
                "kind": "kanboard",
                "image": board_image or self.doubles["kanboard"],
                "hostname": "board.localhost",
            },
            "notes": notes(images),
        }
        self.collective.declare(
            {name: every[name] for name in self.services},
            *(key for key in SECRETS if key.partition("-")[0] in self.services),
            backup=self.collective.backup(),
        )

    def begin(self) -> None:
        """Bring it up for the first time, and write into it."""
        self.collective.policy(local={})
        self.declare()
        self.revision = self.collective.push()
        first = self.collective.ronron("update", "local", seconds=500)
        assert first.code == 0, first.said
        if "pad" in self.services:
            self.pad.write("minutes", "what we said")
        self.project = self.board.settle()
        self.task = self.board.write(self.project, "clean up", cat_png=PICTURE)

    def read(self) -> Document:
        """Everything that visitors see of what was written."""
        seen: Document = {
            "tasks": self.board.titles(self.project),
            "owner": self.board.owner(self.task),
            "attachments": self.board.attachments(self.task),
        }
        if "pad" in self.services:
            seen["pad"] = self.pad.text("minutes").strip()
        if "notes" in self.services:
            seen["page"] = self.collective.get("notes.localhost").text
        return seen

    def snapshots(self, service: str) -> list[Document]:
        """What `ronron backup list` knows of a service, the newest first."""
        ran = self.collective.ronron("backup", "list", "local", service, "--json")
        assert ran.code == 0, ran.said
        return list(ran.json()["snapshots"])

    def agent(self, service: str, *words: str) -> Document:
        """What an agent answers to a command."""
        with closing(docker.from_env()) as engine:
            agent = engine.containers.get(self.container(f"{service}-backup"))
            done = agent.exec_run(["ronron-agent", *words], stderr=False)
        assert isinstance(done.output, bytes)
        document: Document = json.loads(done.output)
        assert done.exit_code == 0, document
        return document

    def pulumi(self, *words: str) -> Ran:
        """The engine by hand, in a member's working copy, on the state that the reconciler uses."""
        environment = {
            **self.collective.environment,
            "PULUMI_HOME": str(self.collective.state / "pulumi-home"),
            "PULUMI_BACKEND_URL": f"file://{self.collective.state / 'pulumi-state'}",
        }
        done = subprocess.run(
            ["pulumi", *words, "--stack", "local", "--non-interactive", "--color", "never"],
            cwd=self.collective.tree, env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        return Ran(done.returncode, done.stdout, done.stderr)

    def destroy(self, *services: str) -> None:
        """Lose all that volumes of services and of their databases hold; they start again on nothing."""
        with closing(docker.from_env()) as engine:
            for service in services:
                # The database first: the service begins with tables of its own.
                roles = (f"{service}-database", service) if service != "notes" else (service,)
                mine = [engine.containers.get(self.container(role)) for role in roles]
                for container in reversed(mine):
                    container.stop(timeout=30)
                for container in mine:
                    for mount in container.attrs["Mounts"]:
                        if mount["Type"] == "volume":
                            empty(engine, str(mount["Name"]), self.collective.images["edge"])
                for container in mine:
                    container.start()
                    await_health(container)

    def things(self) -> dict[str, Any]:
        """What runs since when, and which networks and volumes there are: all that a drill must not touch."""
        mine = f"{self.collective.name}-"
        with closing(docker.from_env()) as engine:
            return {
                "containers": {
                    str(each.name): (each.id, each.attrs["State"]["StartedAt"], each.attrs["State"]["Status"])
                    for each in engine.containers.list(all=True, ignore_removed=True)
                    if str(each.name).startswith(mine)
                },
                "networks": sorted(
                    str(each.name) for each in engine.networks.list() if str(each.name).startswith(mine)
                ),
                "volumes": sorted(
                    str(each.name) for each in engine.volumes.list() if str(each.name).startswith(mine)
                ),
            }

    @contextmanager
    def locked_out(self, service: str) -> Iterator[None]:
        """For the block, the repository of a service opens to no password: its keys are elsewhere."""
        keys = self.collective.snapshots / f"{self.collective.name}-local" / service / "keys"
        aside = keys.with_name("keys-aside")
        keys.rename(aside)
        keys.mkdir()
        try:
            yield
        finally:
            keys.rmdir()
            aside.rename(keys)

    def image(self, base: str, name: str, *lines: str) -> str:
        """Build an image on another one; it goes with `forget_images`."""
        tag = f"{self.collective.name}/{name}"
        with closing(docker.from_env(timeout=300)) as engine:
            text = "\n".join((f"FROM {base}", *lines, ""))
            engine.images.build(fileobj=io.BytesIO(text.encode()), tag=tag, rm=True, forcerm=True)
        self._made.append(tag)
        return tag

    def forget_images(self) -> None:
        """Remove the images that were built here; the containers on them are gone."""
        with closing(docker.from_env()) as engine:
            for tag in self._made:
                engine.images.remove(tag, force=True)


def await_health(container: Container) -> None:
    """Wait until Docker calls a container healthy."""
    until = time.monotonic() + 120
    while container.attrs["State"].get("Health", {}).get("Status") != "healthy":
        assert time.monotonic() < until, f"{container.name} is not healthy: {container.logs(tail=20)!r}"
        time.sleep(0.2)
        container.reload()


def notes(images: Mapping[str, str]) -> Document:
    """A site of files without a database; its first page is there from the first start on."""
    return {
        **web(images, ""),
        "command": ["sh", "-c", PAGES],
        "hostname": "notes.localhost",
        "volumes": {"pages": "/srv"},
    }


def in_the_past(engine: docker.DockerClient, agent: str, image: str, words: Sequence[str], days: int) -> str:
    """Run an agent's command where its clock says an earlier day; returns its standard output.

    A container of its own, with the volumes and the files of the agent, and another clock.

    Args:
        engine: where it runs.
        agent: name of the agent's container.
        image: the agent's own, with `faketime` in it.
        words: of the command.
        days: how long ago.
    """
    then = datetime.now(UTC) - timedelta(days=days)
    original = engine.containers.get(agent)
    made = engine.containers.create(
        image,
        ["faketime", "-f", f"@{then:%Y-%m-%d %H:%M:%S}", "ronron-agent", *words],
        name=f"{agent}-in-the-past",
        hostname=str(original.attrs["Config"]["Hostname"]),
        volumes_from=[agent],
        network_mode="none",
        user="0:0",
    )
    try:
        for place in ("/etc/ronron-agent.json", "/run/ronron-agent"):
            stream, _ = original.get_archive(place)
            assert made.put_archive(str(Path(place).parent), b"".join(stream))
        made.start()
        code = made.wait(timeout=120)["StatusCode"]
        assert code == 0, made.logs().decode()
        return bytes(made.logs(stderr=False)).decode()
    finally:
        made.remove(force=True, v=True)
