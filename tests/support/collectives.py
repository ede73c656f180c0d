"""A whole collective for a test: its repository, declaration and state, and names of its own in Docker."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import httpx
from git import Actor, Repo
from ruamel.yaml import YAML

from demo import throw_away
from tests.support.ports import free_port

PROJECT = Path(__file__).resolve().parents[2]
PROGRAM = ("__main__.py", "chatons", "components")
MEMBER = Actor("A member", "member@ronron.invalid")
BRANCH = "main"

Document = dict[str, Any]


@dataclass(frozen=True)
class Sealed:
    """A password as `pulumi config set --secret` writes it; every secret of a test is this one."""

    clear: str
    secure: str
    salt: str
    passphrase: Path


@dataclass(frozen=True)
class Ran:
    """What a command of `ronron` did."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Everything that it wrote."""
        return self.out + self.err

    def json(self) -> Any:
        """The one document of `--json`."""
        return json.loads(self.out)


@dataclass
class Collective:
    """One collective of a test; everything it makes in Docker begins with its name."""

    root: Path
    sealed: Sealed
    images: Mapping[str, str]
    name: str = field(default_factory=lambda: f"ronron-test-{secrets.token_hex(4)}")
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        Repo.init(self.repository, bare=True, initial_branch=BRANCH).close()
        with Repo.init(self.tree, initial_branch=BRANCH) as repo:
            repo.create_remote("origin", str(self.repository))
        self.take_program(PROJECT, PROGRAM)
        self.write(
            "Pulumi.yaml", {"name": self.name, "runtime": {"name": "python"}, "stackConfigDir": "stacks"}
        )

    @property
    def repository(self) -> Path:
        """The bare repository that is watched."""
        return self.root / "repository.git"

    @property
    def tree(self) -> Path:
        """A member's working copy."""
        return self.root / "tree"

    @property
    def state(self) -> Path:
        """The reconciler's."""
        return self.root / "state"

    @property
    def snapshots(self) -> Path:
        """Where the backups of its services go, as `backup` declares it; what is in it is root's."""
        return self.root / "snapshots"

    @property
    def environment(self) -> dict[str, str]:
        """In which `ronron` is about this collective."""
        return {
            **os.environ,
            "RONRON_REPOSITORY": str(self.repository),
            "RONRON_STATE": str(self.state),
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.sealed.passphrase),
        }

    # -- what the repository says --------------------------------------------------------------------

    def take_program(self, project: Path, parts: Iterable[str]) -> None:
        """Replace the program in the working copy by another project's.

        Args:
            project: the folder to copy from.
            parts: files, folders and links at its top.
        """
        for part in {*PROGRAM, *parts}:
            there = self.tree / part
            if there.is_symlink() or there.is_file():
                there.unlink()
            elif there.is_dir():
                shutil.rmtree(there)
        for part in parts:
            source, target = project / part, self.tree / part
            if source.is_symlink():
                target.symlink_to(source.readlink())
            elif source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(source, target)

    def write(self, file: str, document: Document | str) -> None:
        """Write a file of the working copy."""
        path = self.tree / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(document, str):
            path.write_text(document)
        else:
            with path.open("w") as opened:
                YAML().dump(document, opened)

    def policy(self, **environments: Document) -> None:
        """Say which environments there are; each is a stack of its name that is made at once."""
        usual = {"reference": BRANCH, "update": "automatic", "create_stack": True, "on_failure": "hold"}
        whole = {name: {"stack": name, **usual, **more} for name, more in environments.items()}
        self.write("stacks/environments.yaml", {"environments": whole})

    def declare(
        self,
        services: Document,
        *secret_keys: str,
        stack: str = "local",
        port: int | None = None,
        **more: object,
    ) -> None:
        """Write a stack file: a machine called `here`, an edge, and services on it.

        Args:
            services: as below `ronron:services`; `machine` is added.
            secret_keys: without the namespace; all have the same value.
            stack: whose file it is.
            port: of its edge.
            more: further keys of the namespace.
        """
        config: Document = {
            "pulumi:disable-default-providers": ["docker"],
            "ronron:collective": {
                "name": "A test", "domain": "test.example", "contact": "test@test.example", "country": "FR",
            },
            "ronron:machines": {"here": {"docker": "unix:///var/run/docker.sock"}},
            "ronron:edge": {
                "image": self.images["edge"], "tls": "off",
                "http_port": port or self.port, "bind": "127.0.0.1",
            },
            "ronron:database": {"image": self.images["postgres"]},
            "ronron:services": {name: {"machine": "here", **service} for name, service in services.items()},
        }  # fmt: skip
        config.update({f"ronron:{key}": value for key, value in more.items()})
        config.update({f"ronron:{key}": {"secure": self.sealed.secure} for key in secret_keys})
        self.write(f"stacks/Pulumi.{stack}.yaml", {"encryptionsalt": self.sealed.salt, "config": config})

    def backup(self, **more: object) -> Document:
        """`ronron:backup`, into a directory of this machine."""
        return {
            "repository": str(self.snapshots),
            # Once a year: what a test sees is what it has asked for.
            "schedule": "0 3 1 1 *",
            "max_age": "26h",
            "password": {"secure": self.sealed.secure},
            **more,
        }

    def push(self, subject: str = "Change it") -> str:
        """Commit everything and push it; returns the commit."""
        with Repo(self.tree) as repo:
            repo.git.add("--all")
            commit = repo.index.commit(subject, author=MEMBER, committer=MEMBER).hexsha
            repo.git.push("--quiet", "--force", "origin", f"HEAD:refs/heads/{BRANCH}")
        return commit

    # -- what is done about it -------------------------------------------------------------------------

    def ronron(self, *words: str, seconds: float = 300, **environment: str) -> Ran:
        """Run `ronron` to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "ronron.commands.cli", *words],
            cwd=self.root,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def watching(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """`ronron watch`, told to stop and waited for at the end; its output goes to `watch.log`."""
        with (self.root / "watch.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ronron.commands.cli", "watch", "--poll", "1s", *words],
                cwd=self.root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)

    def get(self, hostname: str, path: str = "/", **more: Any) -> httpx.Response:
        """Ask a service through the edge, as a visitor does."""
        return self.ask("GET", hostname, path, **more)

    def ask(
        self, method: str, hostname: str, path: str, *, port: int | None = None, **more: Any
    ) -> httpx.Response:
        """Send any request through the edge."""
        port = port or self.port
        headers = {"Host": f"{hostname}:{port}"}
        return httpx.request(method, f"http://127.0.0.1:{port}{path}", headers=headers, timeout=20, **more)

    # -- what there is in Docker -------------------------------------------------------------------------

    def containers(self) -> dict[str, str]:
        """Id of each container of this collective by its name, without the collective's own."""
        mine = f"{self.name}-"
        with closing(docker.from_env()) as engine:
            there = engine.containers.list(all=True, ignore_removed=True)
            return {
                str(each.name).removeprefix(mine): str(each.id)
                for each in there
                if str(each.name).startswith(mine)
            }

    def remove(self) -> None:
        """Remove everything in Docker that begins with this collective's name."""
        mine = f"{self.name}-"
        with closing(docker.from_env()) as engine:
            for container in engine.containers.list(all=True, ignore_removed=True):
                if str(container.name).startswith(mine):
                    container.remove(force=True, v=True)
            for network in engine.networks.list():
                if str(network.name).startswith(mine):
                    network.remove()
            for volume in engine.volumes.list():
                if str(volume.name).startswith(mine):
                    volume.remove()
            if self.snapshots.exists():
                empty(engine, str(self.snapshots), self.images["edge"])


def empty(engine: docker.DockerClient, place: str, image: str) -> None:
    """Remove everything in a volume, or in a directory whose files may be root's.

    Args:
        engine: where it is.
        place: name of the volume, or path of the directory.
        image: what is run for it; anything with `find`.
    """
    throw_away.run(
        engine,
        image,
        ["find", "/place", "-mindepth", "1", "-delete"],
        volumes={place: {"bind": "/place", "mode": "rw"}},
    )


def web(images: Mapping[str, str], text: str, *, healthy: bool = True, first_sleep: int = 0) -> Document:
    """A service that answers with a text: the edge's own image, run as any other container."""
    answer = ["caddy", "respond", "--listen", ":8000", "--body", text]
    slowly = ["sh", "-c", f'sleep {first_sleep}; exec "$@"', "sh", *answer]
    test = ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8000/"] if healthy else ["CMD", "false"]
    return {
        "kind": "container",
        "image": images["edge"],
        "port": 8000,
        "command": slowly if first_sleep else answer,
        "health": test,
    }


def seal(place: Path) -> Sealed:
    """Have the engine encrypt one password."""
    place.mkdir(parents=True, exist_ok=True)
    passphrase, clear = place / "passphrase", f"Sesame-{secrets.token_hex(12)}"
    passphrase.write_text(secrets.token_urlsafe(24))
    passphrase.chmod(0o600)
    (place / "Pulumi.yaml").write_text("name: seal\nruntime: python\n")
    (place / "state").mkdir()
    environment = {
        **os.environ,
        "PULUMI_BACKEND_URL": f"file://{place / 'state'}",
        "PULUMI_HOME": str(place / "home"),
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase),
    }
    for words, given in (
        (("stack", "init", "seal", "--non-interactive"), None),
        (("config", "set", "--secret", "seal:word", "--stack", "seal", "--non-interactive"), clear),
    ):
        subprocess.run(
            ["pulumi", *words], cwd=place, env=environment, input=given, text=True, check=True,
            capture_output=True, timeout=60,
        )  # fmt: skip
    document = YAML(typ="safe").load((place / "Pulumi.seal.yaml").read_text())
    secure = document["config"]["seal:word"]["secure"]
    return Sealed(clear, secure, document["encryptionsalt"], passphrase)
