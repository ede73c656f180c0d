"""A stack of this project in the hands of a maintainer: the engine's own command line, and no reconciler."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container

from demo.pad import Pad
from tests.support.collectives import Collective, Ran

PATIENCE = 240
"""Seconds after which a call of the engine hangs; a busy machine needs a fifth of it."""
ETHERPAD_SECRETS = ("pad-database-password", "pad-admin-password")


@dataclass(frozen=True)
class PlainStack:
    """The stack `local` of a collective, updated by `pulumi` itself.

    Attributes:
        checkout: where; None for the collective's working copy.
    """

    collective: Collective
    checkout: Path | None = None

    @property
    def backend(self) -> Path:
        """Where the engine keeps the state."""
        return self.collective.root / "pulumi-state"

    @property
    def environment(self) -> dict[str, str]:
        """A maintainer's shell: nothing in it is of the reconciler but the place of the plugins."""
        home = self.collective.root / "pulumi-home"
        home.mkdir(exist_ok=True)
        self.backend.mkdir(exist_ok=True)
        plugins = os.environ.get("RONRON_PULUMI_PLUGINS")
        if plugins and not (home / "plugins").is_symlink():
            (home / "plugins").symlink_to(plugins)
        return {
            **os.environ,
            "PULUMI_HOME": str(home),
            "PULUMI_BACKEND_URL": f"file://{self.backend}",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.collective.sealed.passphrase),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }

    def pulumi(self, *words: str, seconds: float = PATIENCE) -> Ran:
        """Run the engine to its end."""
        done = subprocess.run(
            ["pulumi", *words, "--non-interactive", "--color", "never"],
            cwd=self.checkout or self.collective.tree,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def begin(self) -> None:
        """Make the stack; nothing is in it yet. The declaration keeps the salt that it has."""
        declared = self.collective.tree / "stacks" / "Pulumi.local.yaml"
        text = declared.read_text()
        ran = self.pulumi("stack", "init", "local")
        assert ran.code == 0, ran.said
        declared.write_text(text)

    def up(self, *, preview: bool = True) -> Ran:
        """Update, whatever comes of it.

        Args:
            preview: whether a preview comes first, as for a person; it takes as long again.
        """
        words = () if preview else ("--skip-preview",)
        return self.pulumi("up", "--yes", *words, "--stack", "local")

    def preview(self) -> Ran:
        """Look what an update would do."""
        return self.pulumi("preview", "--stack", "local")

    def changes(self) -> set[str]:
        """What an update would touch, each as `Type name`; empty when nothing would change."""
        ran = self.pulumi("preview", "--json", "--stack", "local")
        assert ran.code == 0, ran.said
        return {
            f"{step['urn'].split('::')[2].rsplit(':', 1)[1]} {step['urn'].split('::')[3]}"
            for step in json.loads(ran.out)["steps"]
            if step["op"] != "same"
        }

    def inventory(self) -> dict[str, Any]:
        """What the stack tells about itself."""
        ran = self.pulumi("stack", "output", "inventory", "--json", "--stack", "local")
        assert ran.code == 0, ran.said
        document: dict[str, Any] = json.loads(ran.out)
        return document

    def kept(self) -> Iterator[tuple[Path, str]]:
        """Every file that the engine has written."""
        for path in sorted(self.backend.rglob("*")):
            if path.is_file():
                yield path, path.read_text(errors="replace")

    # -- what there is in Docker -----------------------------------------------------------------------

    @property
    def pad(self) -> Pad:
        """A visitor of the pad."""
        return Pad("pad.localhost", self.collective.port, f"{self.collective.name}-local-pad")

    def inspect(self, role: str) -> Mapping[str, Any]:
        """A container as Docker has it, by its name without the collective's."""
        with closing(docker.from_env()) as engine:
            attributes: Mapping[str, Any] = self._container(engine, role).attrs
            return attributes

    def inside(self, role: str, *command: str) -> str:
        """What a command says inside a container."""
        with closing(docker.from_env()) as engine:
            code, output = self._container(engine, role).exec_run(list(command))
        assert isinstance(output, bytes)
        text = output.decode()
        assert code == 0, text
        return text

    def volumes(self) -> set[str]:
        """The volumes of this stack, each by its name without the collective's."""
        mine = f"{self.collective.name}-local-"
        with closing(docker.from_env()) as engine:
            names = {str(volume.name) for volume in engine.volumes.list()}
        return {name.removeprefix(mine) for name in names if name.startswith(mine)}

    def _container(self, engine: docker.DockerClient, role: str) -> Container:
        return engine.containers.get(f"{self.collective.name}-local-{role}")


def etherpad(images: Mapping[str, str], **more: object) -> dict[str, object]:
    """A pad, as it is declared."""
    return {
        "kind": "etherpad",
        "hostname": "pad.localhost",
        "image": images["etherpad"],
        "title": "Before",
        "default_text": "Hello.",
        # From 2 on the API takes a key only when asked to.
        "environment": {"AUTHENTICATION_METHOD": "apikey"},
        **more,
    }
