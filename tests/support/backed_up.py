"""A board with a database, files and an agent on a real Docker, as the program makes them but without it.

The board is the double of Kanboard.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from docker.models.containers import Container
from docker.types import EndpointConfig, Healthcheck

from ronron.core.inventory import Inventory
from tests.support.backup_targets import AGENT, REPOSITORY_PASSWORD, packed
from tests.support.containers import Containers, containers_of_a_test, runs, until

SOCKET = "unix:///var/run/docker.sock"
NAME = "board"
DATABASE_PASSWORD = "a-password-without-signs"
COUNTED = ("projects", "tasks", "task_has_files")
CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"]
_PASSWORD_FILE = "/run/postgresql-password"
_SECOND = 1_000_000_000


class BackedUp:
    """The board, its database, its agent, and the inventory that tells of them.

    Args:
        here: what they are made with.
        postgres: image of the database.
        agent_image: built on it.
        board_image: the double of Kanboard.
        machine: how Docker is reached.
    """

    def __init__(
        self,
        here: Containers,
        postgres: str,
        agent_image: str,
        board_image: str,
        machine: Mapping[str, str | None] | None = None,
    ) -> None:
        self.here = here
        self.network = here.network()
        self.volumes = {role: here.volume() for role in ("data", "plugins", "ssl", "database", "state")}
        self.repository = here.volume()
        self.database = self._database(postgres)
        self.board = self._board(board_image)
        self.agent = self._agent(agent_image)
        self.inventory = self._inventory(
            postgres, board_image, machine or {"docker": SOCKET, "host_key": None}
        )

    # -- what a person does with it ------------------------------------------------------------------

    def call(self, method: str, **parameters: object) -> Any:
        """Call the board's interface over HTTP."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters})
        words = ("curl", "-fsS", "--max-time", "20", "-d", body, "http://127.0.0.1/jsonrpc.php")
        code, text = runs(self.board, *words)
        assert code == 0, text
        answer = json.loads(text)
        assert "error" not in answer, answer
        return answer["result"]

    def write(self, title: str = "a task", picture: bytes = b"\x00\x01picture") -> int:
        """A task with a file; returns the file's number."""
        project = int(self.call("createProject", name=f"project of {title}"))
        task = self.call("createTask", title=title, project_id=project)
        blob = base64.b64encode(picture).decode()
        return int(self.call("createTaskFile", project_id=project, task_id=task, filename="x.png", blob=blob))

    def titles(self) -> list[str]:
        """Of every task."""
        projects = self.call("getAllProjects")
        found = [
            task["title"]
            for project in projects
            for task in self.call("getAllTasks", project_id=project["id"])
        ]
        return sorted(found)

    def picture(self, file: int) -> bytes:
        """What is in a task's file."""
        return base64.b64decode(self.call("downloadTaskFile", file_id=file))

    def rows(self) -> dict[str, int]:
        """What is in the database."""
        query = "; ".join(f"select count(*) from {table}" for table in COUNTED)  # noqa: S608 - constants
        return dict(zip(COUNTED, map(int, self.sql(query).split()), strict=True))

    def sql(self, statement: str) -> str:
        """Run SQL in the database; what it says."""
        words = ("psql", "-v", "ON_ERROR_STOP=1", "-qAtX", "-U", "board", "-d", "board", "-c", statement)
        code, text = runs(self.database, *words)
        assert code == 0, text
        return text.strip()

    def await_board(self) -> None:
        """Wait until the board is healthy."""
        until(lambda: self._health(self.board) == "healthy", self.board)

    def standing(self) -> dict[str, tuple[object, ...]]:
        """What a drill must not change: each container, since when it runs, its networks and mounts."""
        found: dict[str, tuple[object, ...]] = {}
        for container in (self.board, self.database, self.agent):
            container.reload()
            attributes = container.attrs
            found[str(container.name)] = (
                container.id,
                attributes["State"]["StartedAt"],
                attributes["RestartCount"],
                sorted(attributes["NetworkSettings"]["Networks"]),
                sorted(str(mount.get("Name")) for mount in attributes["Mounts"]),
            )
        return found

    def left(self) -> list[str]:
        """What restores and drills have left behind."""
        client, found = self.here.client, []
        for label in ("ronron.restore", "ronron.drill"):
            mine: dict[str, str | list[str] | bool] = {"label": f"{label}={self.board.name}"}
            found += [
                str(each.name) for each in client.containers.list(all=True, ignore_removed=True, filters=mine)
            ]
            found += [str(each.name) for each in client.volumes.list(filters=mine)]
            found += [str(each.name) for each in client.networks.list(filters=mine)]
        return found

    def remove_left(self) -> None:
        """Remove what a restore or a drill that failed has left: it does not carry the test's label."""
        client = self.here.client
        for label in ("ronron.restore", "ronron.drill"):
            mine: dict[str, str | list[str] | bool] = {"label": f"{label}={self.board.name}"}
            for container in client.containers.list(all=True, ignore_removed=True, filters=mine):
                container.remove(force=True, v=True)
            for volume in client.volumes.list(filters=mine):
                volume.remove(force=True)
            for network in client.networks.list(filters=mine):
                network.remove()

    def begin_again(self) -> None:
        """Make it an empty board that runs, whatever a test has left; snapshots stay in the repository."""
        self.remove_left()
        self.database.start()
        until(lambda: self._health(self.database) == "healthy", self.database)
        self.board.start()
        self.await_board()
        self.sql("truncate projects, tasks, task_has_files, comments restart identity")
        code, text = runs(self.board, "sh", "-c", "rm -rf /var/www/app/data/* /var/www/app/plugins/*")
        assert code == 0, text

    # -- how it is made --------------------------------------------------------------------------------

    @staticmethod
    def _health(container: Container) -> str:
        container.reload()
        return str(container.attrs["State"].get("Health", {}).get("Status"))

    def _aliased(self, *aliases: str) -> dict[str, Any]:
        # docker-py types this by what it makes of it.
        return {self.network: EndpointConfig("1.41", aliases=list(aliases))}

    def _database(self, image: str) -> Container:
        made = self.here.create(
            image,
            network=self.network,
            networking_config=self._aliased("database"),
            environment={
                "POSTGRES_DB": NAME,
                "POSTGRES_USER": NAME,
                "POSTGRES_PASSWORD_FILE": _PASSWORD_FILE,
            },
            volumes={self.volumes["database"]: {"bind": "/var/lib/postgresql/data", "mode": "rw"}},
            cap_drop=["ALL"],
            cap_add=["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"],
            healthcheck=Healthcheck(
                test=["CMD", "pg_isready", "-h", "127.0.0.1", "-U", NAME, "-d", NAME],
                interval=_SECOND,
                timeout=5 * _SECOND,
                retries=30,
            ),
        )
        password = packed({"postgresql-password": DATABASE_PASSWORD.encode()}, mode=0o444)
        assert made.put_archive("/run", password)
        made.start()
        until(lambda: self._health(made) == "healthy", made)
        return made

    def _board(self, image: str) -> Container:
        made = self.here.start(
            image,
            network=self.network,
            environment={"DATABASE_URL": f"postgres://{NAME}:{DATABASE_PASSWORD}@database:5432/{NAME}"},
            volumes={
                self.volumes["data"]: {"bind": "/var/www/app/data", "mode": "rw"},
                self.volumes["plugins"]: {"bind": "/var/www/app/plugins", "mode": "rw"},
                self.volumes["ssl"]: {"bind": "/etc/nginx/ssl", "mode": "rw"},
            },
            cap_drop=["ALL"],
            cap_add=CAPABILITIES,
            mem_limit="256m",
            restart_policy={"Name": "unless-stopped"},
            healthcheck=Healthcheck(
                test=["CMD", "curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1/healthcheck.php"],
                interval=_SECOND,
                timeout=5 * _SECOND,
                retries=30,
            ),
        )
        until(lambda: self._health(made) == "healthy", made)
        return made

    def _agent(self, image: str) -> Container:
        document = {
            "version": 1,
            "project": "ronron",
            "stack": "test",
            "service": NAME,
            "kind": "kanboard",
            "running": {"version": "1.2.53", "image": "kanboard:1.2.53", "image_digest": None},
            "repository": "/repository",
            "ssh": None,
            "host": str(self.board.name),
            "database": {"host": "database", "port": 5432, "name": NAME, "user": NAME, "major": 15},
            "counts": {table: f"select count(*) from {table}" for table in COUNTED},  # noqa: S608 - constants
            "volumes": {"data": "/data/data", "plugins": "/data/plugins"},
            "sqlite": [],
            "exclude": [],
            "schedule": "0 3 1 1 *",
            "keep": {"daily": 7, "weekly": 4, "monthly": 6},
            "forget": True,
            "check": "weekly",
            "drill": "weekly",
            "promise_hours": None,
        }
        options = {**AGENT, "read_only": False, "tmpfs": {"/var/lib/postgresql/data": ""}}
        made = self.here.create(
            image,
            network=self.network,
            hostname=f"{self.board.name}-backup"[:63],
            volumes={
                self.volumes["data"]: {"bind": "/data/data", "mode": "ro"},
                self.volumes["plugins"]: {"bind": "/data/plugins", "mode": "ro"},
                self.volumes["state"]: {"bind": "/var/lib/ronron-agent", "mode": "rw"},
                self.repository: {"bind": "/repository", "mode": "rw"},
            },
            **options,
        )
        secrets = {"repository-password": REPOSITORY_PASSWORD, "database-password": DATABASE_PASSWORD}
        assert made.put_archive("/etc", packed({"ronron-agent.json": json.dumps(document).encode()}))
        given = {f"ronron-agent/{name}": text.encode() for name, text in secrets.items()}
        assert made.put_archive("/run", packed(given, mode=0o400))
        made.start()
        until(lambda: runs(made, "ronron-agent", "health")[0] == 0, made)
        return made

    def _inventory(self, postgres: str, image: str, machine: Mapping[str, str | None]) -> Inventory:
        board, database, agent = (str(each.name) for each in (self.board, self.database, self.agent))
        return Inventory.model_validate(
            {
                "version": 1,
                "collective": {"name": "Test", "domain": "test.example", "contact": "a@b.c", "country": "FR"},
                "machines": {"here": dict(machine)},
                "services": {
                    NAME: {
                        "kind": "kanboard",
                        "version": "1.2.53",
                        "image": image,
                        "image_digest": None,
                        "machine": "here",
                        "url": "https://board.test.example",
                        "probe": None,
                        "containers": [board, database, agent],
                        "database": {
                            "engine": "postgresql",
                            "major": 15,
                            "image": postgres,
                            "container": database,
                            "name": NAME,
                        },
                        "volumes": [],
                        "backup": {
                            "container": agent,
                            "repository": "/repository",
                            "drill": "weekly",
                            "network": self.network,
                            "volumes": {role: self.volumes[role] for role in ("data", "plugins")},
                            "uploaded": {database: [_PASSWORD_FILE]},
                            "probe": {
                                "port": 80,
                                "path": "/healthcheck.php",
                                "status": [200],
                                "contains": None,
                            },
                        },
                    }
                },
            }
        )


@contextmanager
def backed_up(postgres: str, agent_image: str, board_image: str, **more: Any) -> Iterator[BackedUp]:
    """A board of a test; what its restores and drills left goes with it."""
    for here in containers_of_a_test():
        made = BackedUp(here, postgres, agent_image, board_image, **more)
        try:
            yield made
        finally:
            made.remove_left()
