"""A backup agent on a real Docker engine, with a real PostgreSQL and what else a test backs up or into."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from docker.models.containers import Container

from tests.support.built_images import ensure_image
from tests.support.containers import PATIENCE, Containers, runs, said, until
from tests.support.postgres_server import PASSWORD, PostgresServer
from toolchain import image_build

CONTEXT = Path(__file__).parents[2] / "components" / "chatons" / "images" / "backup_agent"
REPOSITORY_PASSWORD = "a repository's password"
HARDENED: dict[str, Any] = {
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "mem_limit": "256m",
    "memswap_limit": "256m",
}
AGENT: dict[str, Any] = {
    **HARDENED,
    "cap_add": ["CAP_DAC_READ_SEARCH"],
    "tmpfs": {"/var/lib/postgresql/data": ""},
    "init": True,
}
"""How the program runs an agent."""
RESTORER: dict[str, Any] = {
    **AGENT,
    "cap_add": ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER"],
}
"""How the reconciler runs the throw-away containers that restore."""


def build_agent(base: str) -> str:
    """Build the agent's image on a database's image, unless it is there; its tag."""
    return ensure_image("backup-agent", image_build.context_archive(CONTEXT, {}), base=base, BASE=base)


_PAST = """
from datetime import timedelta
from pathlib import Path
from backup_agent.journal import Journal, moment, now
journal = Journal(Path("/var/lib/ronron-agent"))
for fact in ("regular backup", "next backup"):
    journal.remember(fact, moment(now() - timedelta(hours=30)))
"""


@dataclass
class Served:
    """A service's database, its volumes, and its agent.

    Attributes:
        here: what they are made with.
        image: the agent's.
        network: the private one.
        server: its PostgreSQL; None where there is none.
        agent: the agent's container.
        document: its configuration.
        volumes: physical names by role.
        state: the name of the agent's own volume.
        repository: the name of the volume with a local repository.
        secrets: the agent's, by the name of their file.
        more_volumes: as Docker takes them.
    """

    here: Containers
    image: str
    network: str
    document: dict[str, Any]
    volumes: Mapping[str, str]
    state: str
    repository: str
    secrets: dict[str, str]
    server: PostgresServer | None = None
    more_volumes: dict[str, dict[str, str]] = field(default_factory=dict)
    agent: Container = field(init=False)

    def start(self, **options: Any) -> Container:
        """Start an agent; another one replaces the last, with the same volumes and host name."""
        if hasattr(self, "agent"):
            self.agent.remove(force=True)
        self.agent = self.made(AGENT, "ro", hostname=f"{self.document['host']}-backup", **options)
        return self.agent

    def restorer(self, **changes: Any) -> Container:
        """A throw-away container of the agent's image with writable volumes, which does nothing by itself."""
        return self.made(RESTORER, "rw", command=["sleep", "3600"], document={**self.document, **changes})

    def made(
        self,
        options: Mapping[str, Any],
        mode: str,
        *,
        command: list[str] | None = None,
        document: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Container:
        """A container of the agent's image with configuration and secrets."""
        volumes = {name: {"bind": f"/data/{role}", "mode": mode} for role, name in self.volumes.items()}
        volumes[self.repository] = {"bind": "/repository", "mode": "rw"}
        volumes.update(self.more_volumes)
        if mode == "ro":
            volumes[self.state] = {"bind": "/var/lib/ronron-agent", "mode": "rw"}
        wanted = {**options, "volumes": volumes, "network": self.network, **more}
        made = self.here.create(self.image, command, **wanted)
        text = json.dumps(document or self.document).encode()
        assert made.put_archive("/etc", packed({"ronron-agent.json": text}))
        secret = {name: text.encode() for name, text in self.secrets.items()}
        assert made.put_archive("/run/ronron-agent", packed(secret, mode=0o400))
        made.start()
        return made

    def miss_a_backup(self) -> None:
        """Stop the agent and let the time of its next backup pass, which `start` makes up for."""
        self.agent.stop(timeout=10)
        code, text = self.here.output(
            self.image,
            ["python3", "-c", _PAST],
            environment={"PYTHONPATH": "/usr/local/lib/ronron"},
            volumes={self.state: {"bind": "/var/lib/ronron-agent", "mode": "rw"}},
        )
        assert code == 0, text

    def in_volume(self, role: str, script: str) -> str:
        """Run a shell script in a volume, as root; what it says."""
        code, text = self.here.output(
            self.image, ["sh", "-ec", script], volumes={self.volumes[role]: {"bind": "/put", "mode": "rw"}},
            working_dir="/put",
        )  # fmt: skip
        assert code == 0, text
        return text

    @property
    def database(self) -> Container:
        """The container with PostgreSQL."""
        assert self.server is not None
        return self.server.container

    def sql(self, text: str) -> str:
        """Run SQL in the service's database; what it says."""
        assert self.server is not None
        return self.server.sql(text)


def packed(files: Mapping[str, bytes], mode: int = 0o644) -> bytes:
    """A tar of files of root."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as opened:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            opened.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def served(
    here: Containers,
    image: str,
    postgres: PostgresServer | str | None,
    *,
    roles: tuple[str, ...] = ("var",),
    secrets_given: Mapping[str, str] | None = None,
    **changes: Any,
) -> Served:
    """A service with a database `pad`, whose table `store` has three rows, and files; its agent is started.

    Args:
        here: what the test makes.
        image: the agent's.
        postgres: a server that tests share; the database's image for a server of its own, which the test may
            stop; None for a service with files only.
        roles: of its volumes.
        secrets_given: besides the passwords.
        changes: of the agent's document.
    """
    if isinstance(postgres, PostgresServer):
        postgres.empty_and_begin()
    server = PostgresServer(here, postgres) if isinstance(postgres, str) else postgres
    database = server and str(server.container.name)
    document: dict[str, Any] = {
        "version": 1,
        "project": "ronron",
        "stack": "test",
        "service": "pad",
        "kind": "etherpad",
        "running": {"version": "3.3.1", "image": "etherpad/etherpad:3.3.1", "image_digest": None},
        "repository": "/repository",
        "ssh": None,
        "host": "ronron-test-pad",
        "database": database and {"host": database, "port": 5432, "name": "pad", "user": "pad", "major": 15},
        "counts": {"pads": "select count(*) from store"} if database else {},
        "volumes": {role: f"/data/{role}" for role in roles},
        "sqlite": [],
        "exclude": [],
        "schedule": "0 3 * * *",
        "keep": {"daily": 7, "weekly": 4, "monthly": 6},
        "forget": True,
        "check": "weekly",
        "drill": "weekly",
        "max_age_hours": None,
        **changes,
    }
    given = {"repository-password": REPOSITORY_PASSWORD, "database-password": PASSWORD}
    made = Served(
        here=here,
        image=image,
        network=server.network if server else here.network(),
        document=document,
        volumes={role: here.volume() for role in roles},
        state=here.volume(),
        repository=here.volume(),
        secrets={**given, **(secrets_given or {})},
        server=server,
    )
    made.start()
    return made


def asks(container: Container, *words: str, stdin: str | None = None) -> tuple[int, dict[str, Any]]:
    """Run a command of the agent as program and reconciler do: exit code and document."""
    command = ["ronron-agent", *words]
    if stdin is not None:
        command = ["sh", "-c", f'printf %s "$RONRON_TEST" | ronron-agent {" ".join(words)}']
    done = container.exec_run(command, demux=True, environment={"RONRON_TEST": stdin or ""})
    output, errors = done.output
    try:
        return int(done.exit_code or 0), json.loads(bytes(output or b""))
    except ValueError as error:
        raise AssertionError(
            f"{words}: {done.exit_code}: {output!r} {errors!r}\n{said(container)}"
        ) from error


def does(container: Container, *words: str, stdin: str | None = None) -> dict[str, Any]:
    """Run a command of the agent that must be done; its document."""
    code, document = asks(container, *words, stdin=stdin)
    assert code == 0, document
    return document


def exported(container: Container, snapshot: str) -> bytes:
    """The tar of a snapshot."""
    done = container.exec_run(["ronron-agent", "export", "--snapshot", snapshot], stderr=False)
    assert done.exit_code == 0
    assert isinstance(done.output, bytes)
    return done.output


_PROCESSES = """
import json, os
found = {}
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        words = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\\0")
        state = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0]
    except OSError:
        continue
    if words[0] and state != "Z" and int(pid) != os.getpid():
        found[pid] = b" ".join(words).decode().strip()
print(json.dumps(found))
"""


def processes(container: Container) -> dict[int, str]:
    """The processes of a container: command lines by process id there."""
    code, text = runs(container, "python3", "-c", _PROCESSES)
    assert code == 0, text
    return {int(pid): words for pid, words in json.loads(text).items()}


_KILL = """
import json, os, sys, time
def pid_of(needles):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = open(f"/proc/{pid}/cmdline", "rb").read().replace(b"\\0", b" ").decode()
        except OSError:
            continue
        if int(pid) != os.getpid() and "setpriv" not in line and all(each in line for each in needles):
            return int(pid)
trigger, victim = json.loads(sys.argv[1])
end = time.monotonic() + 120
while time.monotonic() < end:
    found = pid_of(trigger) and pid_of(victim)
    if found:
        os.kill(found, 9)
        sys.exit(0)
    time.sleep(0.005)
sys.exit("nothing to kill")
"""


def kill_when(container: Container, trigger: tuple[str, ...], victim: tuple[str, ...]) -> None:
    """Kill -9 a process as soon as another one runs; both by words of their command lines.

    It waits inside the container: what takes a fraction of a second would have ended before a second look
    from outside.
    """
    code, text = runs(container, "python3", "-c", _KILL, json.dumps([trigger, victim]))
    assert code == 0, text


def begun(container: Container, *words: str) -> Callable[[], tuple[int, dict[str, Any]]]:
    """Begin a command of the agent; gives what waits for its end."""
    answers: SimpleQueue[tuple[int, bytes]] = SimpleQueue()

    def run() -> None:
        done = container.exec_run(["ronron-agent", *words], stderr=False)
        assert isinstance(done.output, bytes)
        answers.put((-1 if done.exit_code is None else done.exit_code, done.output))

    Thread(target=run, daemon=True).start()

    def ended() -> tuple[int, dict[str, Any]]:
        code, text = answers.get(timeout=PATIENCE)
        return code, json.loads(text) if text else {}

    return ended


def running(container: Container, *needles: str) -> int:
    """Wait until a process runs whose command line has all of these words; its process id there."""
    found: list[int] = []

    def there() -> bool:
        found[:] = [
            pid
            for pid, line in processes(container).items()
            if all(needle in line for needle in needles) and "setpriv" not in line
        ]
        return bool(found)

    until(there, container)
    return found[0]


def killed(container: Container, pid: int) -> None:
    """Kill -9 a process of a container."""
    code, text = runs(container, "sh", "-c", f"kill -9 {pid}")
    assert code == 0, text


def refuses(container: Container, *words: str) -> dict[str, Any]:
    """Run a command of the agent that must fail; its error."""
    code, document = asks(container, *words)
    assert code == 1, document
    assert set(document) == {"error"}
    assert set(document["error"]) == {"code", "message", "hint"}
    error: dict[str, Any] = document["error"]
    return error
