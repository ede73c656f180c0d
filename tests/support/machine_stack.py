"""Virtual machines alone, on the real engine and a cluster of the test's own: no guest is ever asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.providers.place import Kind, plugin_environment
from tests.support.collectives import PROJECT, Ran
from tests.support.declarations import DATA, Document, proxmox_document
from tests.support.fake_proxmox import FAULTS, IMAGE, IMAGE_CHECKSUM, FakeProxmox, fake_proxmox
from tests.support.saved_stack import SavedStack

PASSPHRASE = "correct horse battery"
PATIENCE = 120
"""Seconds after which a call of the engine hangs; it takes a tenth of it."""

PROGRAM = f"""
import json, pathlib, sys
sys.path.insert(0, {str(PROJECT)!r})
import pulumi
from chatons.proxmox import virtual_machines
from tests.support.declarations import declaration

given = json.loads(pathlib.Path("declared.json").read_text())
declared = declaration(base=given["document"])
made = virtual_machines.make(declared, lambda key: pulumi.Output.secret(given["secrets"][key])).made
pulumi.export("ready", {{name: each.ready for name, each in made.items()}})
pulumi.export("identity", {{name: each.identity for name, each in made.items()}})
"""


NAME, VM_ID = "vm01", 101

HALF_WAY: list[tuple[Document, FAULTS, Document, str]] = [
    ({"cores": 8}, "locked", {"vm_id": VM_ID}, "cores: 8 (it has 4)"),
    (
        {"disk_gib": 80},
        "task",
        {"method": "PUT", "path": "/resize", "text": "No space left on device", "times": 9},
        "scsi0: 80 GiB (it has 64)",
    ),
]
"""An edit, a fault that ends its update half-way, where that is, and what is left undone."""


def declared(**changes: Any) -> Document:
    """One machine with its data disk, and what differs."""
    image = {"url": IMAGE, "checksum": IMAGE_CHECKSUM}
    return proxmox_document({NAME: {"image": image, "data": DATA, **changes}})


@dataclass(frozen=True)
class Step:
    """What the engine would do, or did, with one resource."""

    op: str
    type: str
    name: str


@dataclass
class MachineStack:
    """A project whose program makes the virtual machines of a declaration.

    Attributes:
        root: an empty directory.
        cluster: where they are made.
        plugin: which one makes them.
    """

    root: Path
    cluster: FakeProxmox
    plugin: Kind
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        checkout, home = self.root / "checkout", self.root / "home"
        for directory in (checkout, home, self.root / "state"):
            directory.mkdir(parents=True)
        (checkout / "Pulumi.yaml").write_text("name: tiny\nruntime: python\n")
        (checkout / "__main__.py").write_text(PROGRAM)
        self.environment = {
            **os.environ,
            **plugin_environment(self.plugin, self.root / "bin", ca=self.cluster.ca),
            "VIRTUAL_ENV": sys.prefix,
            "PULUMI_HOME": str(home),
            "PULUMI_BACKEND_URL": f"file://{self.root / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        ran = self.pulumi("stack", "init", "local")
        assert ran.code == 0, ran.said

    def declare(self, document: Document) -> None:
        """Say what there is to be; the cluster's address is filled in."""
        whole = {**document, "proxmox": {**document["proxmox"], "endpoint": self.cluster.endpoint}}
        given = {"document": whole, "secrets": {"proxmox-token": self.cluster.token}}
        (self.root / "checkout" / "declared.json").write_text(json.dumps(given))

    def pulumi(self, *words: str) -> Ran:
        """Run the engine to its end."""
        done = subprocess.run(
            ["pulumi", *words, "--non-interactive", "--color", "never"],
            cwd=self.root / "checkout",
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def preview(self, *more: str) -> list[Step]:
        """What an update would change; with `--refresh` after a look at the cluster."""
        ran = self.pulumi("preview", "--json", *more)
        assert ran.code == 0, ran.said
        return [
            Step(step["op"], step["urn"].split("::")[2].rsplit("$")[-1], step["urn"].split("::")[3])
            for step in json.loads(ran.out)["steps"]
            if step["op"] != "same"
        ]

    def up(self) -> Ran:
        """Make it so; whatever comes of it. Previews are asked for by themselves."""
        return self.pulumi("up", "--yes", "--skip-preview")

    def state(self) -> list[dict[str, Any]]:
        """Every resource that the engine knows."""
        ran = self.pulumi("stack", "export")
        assert ran.code == 0, ran.said
        resources: list[dict[str, Any]] = json.loads(ran.out)["deployment"]["resources"]
        return resources

    def saved(self, place: Path) -> SavedStack:
        """A copy of stack and cluster as they are now."""
        return SavedStack(self.root / "state", self.cluster, place)


@dataclass(frozen=True)
class Machines:
    """One stack for many tests, that begins again for each.

    Attributes:
        stack: on the stand-in for the plugin, which makes machines in a tenth of the time.
        nothing: saved before anything was made.
        one: saved when the machine of `declared` was there.
    """

    stack: MachineStack
    nothing: SavedStack
    one: SavedStack

    def empty(self) -> MachineStack:
        """The stack with nothing in it."""
        self.nothing.put_back()
        return self.stack

    def live(self) -> MachineStack:
        """The stack with the machine of `declared` in it."""
        self.one.put_back()
        self.stack.declare(declared())
        return self.stack


@contextmanager
def machines_for_tests(root: Path) -> Iterator[Machines]:
    """Bring one machine up once.

    Args:
        root: an empty directory.
    """
    with fake_proxmox(root) as cluster:
        stack = MachineStack(root / "stack", cluster, "stand-in")
        nothing = stack.saved(root / "nothing")
        stack.declare(declared())
        ran = stack.up()
        assert ran.code == 0, ran.said
        yield Machines(stack, nothing, stack.saved(root / "one"))
