"""A tiny Pulumi project whose resources are on a Proxmox VE: what is to be there is said as data.

project = ProxmoxProject(root, environment, proxmox)
project.declare(Wanted(VM, "pica01", {...}, {"protect": True}))
assert project.up().steps == {"pica01": "created"}
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.fake_proxmox import FakeProxmox
from tests.support.saved_stack import SavedStack

PASSPHRASE = "correct horse battery"
PATIENCE = 90.0
"""Seconds for one run of the engine."""

_PROGRAM = """
import json, pathlib
import pulumi

declared = json.loads(pathlib.Path("declared.json").read_text())

def secret(value):
    return pulumi.Output.secret(value["secret"]) if isinstance(value, dict) and "secret" in value else value

class Proxmox(pulumi.ProviderResource):
    def __init__(self, inputs):
        super().__init__("proxmoxve", "pve", inputs)

pve = Proxmox({key: secret(value) for key, value in declared["provider"].items()})
made = {}
for wanted in declared["resources"]:
    inputs = {key: secret(value) for key, value in wanted["inputs"].items()}
    for disk in inputs.get("disks", []):
        if disk.get("importFrom") in made:
            disk["importFrom"] = made[disk["importFrom"]].id
    made[wanted["name"]] = pulumi.CustomResource(
        wanted["type"], wanted["name"], inputs, pulumi.ResourceOptions(provider=pve, **wanted["options"])
    )
"""

_STEP = re.compile(
    r"^\s*[+~=-]+\s+proxmoxve:\S+ (\S+) "
    r"(created|updated|replaced|deleted|imported|create|update|replace|delete)\b",
    re.M,
)
_DIFF = re.compile(r"^\s*[+~=-]+\s+proxmoxve:\S+ (\S+) .*\[diff: ([^\]]+)\]", re.M)


@dataclass(frozen=True)
class Wanted:
    """One resource.

    Attributes:
        inputs: in camelCase; `{"secret": value}` is written as a secret, and an `importFrom` that is the name
            of another resource as its id.
        options: of the resource.
    """

    type: str
    name: str
    inputs: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ran:
    """A run of the engine.

    Attributes:
        steps: what was done, by the name of the resource.
        differences: the inputs that differed, by the name of the resource.
        said: all that was printed.
    """

    ok: bool
    said: str
    steps: dict[str, str]
    differences: dict[str, set[str]]


class ProxmoxProject:
    """A checkout, a state and an engine's home below one directory.

    Args:
        root: an empty directory.
        environment: with the plugin; see `tests.providers.place`.
        proxmox: what the resources are on.
    """

    def __init__(self, root: Path, environment: Mapping[str, str], proxmox: FakeProxmox) -> None:
        self._root = root
        self._environment = dict(environment)
        self._proxmox = proxmox
        (root / "state").mkdir(parents=True)
        (root / "Pulumi.yaml").write_text("name: tiny\nruntime: python\n")
        (root / "__main__.py").write_text(_PROGRAM)
        self._run("stack", "init", "dev")

    def declare(self, *resources: Wanted, **provider: Any) -> None:
        """Say what is to be there, and what of the provider's inputs is other than usual."""
        document = {
            "provider": {
                "endpoint": self._proxmox.endpoint,
                "apiToken": {"secret": self._proxmox.token},
                "insecure": False,
                **provider,
            },
            "resources": [
                {"type": each.type, "name": each.name, "inputs": each.inputs, "options": each.options}
                for each in resources
            ],
        }
        (self._root / "declared.json").write_text(json.dumps(document))

    def up(self, *words: str) -> Ran:
        """Update."""
        return self._run("up", "--yes", "--skip-preview", *words)

    def preview(self, *words: str) -> Ran:
        """What an update would do."""
        return self._run("preview", *words)

    def destroy(self) -> Ran:
        """Take all away."""
        return self._run("destroy", "--yes", "--skip-preview")

    def refresh(self) -> Ran:
        """Read all back."""
        return self._run("refresh", "--yes", "--skip-preview")

    def saved(self, place: Path) -> SavedStack:
        """A copy of stack and cluster as they are now."""
        return SavedStack(self._root / "state", self._proxmox, place)

    def forget(self, name: str) -> Ran:
        """Take a resource out of the state, and leave it where it is."""
        exported = json.loads(self.kept())
        urn = next(
            each["urn"] for each in exported["deployment"]["resources"] if each["urn"].endswith(f"::{name}")
        )
        return self._run("state", "delete", urn, "--yes")

    def kept(self) -> str:
        """The state as it is kept: what is secret in it is sealed."""
        return self._run("stack", "export").said

    def outputs(self, name: str) -> dict[str, Any]:
        """What the state has of a resource; a secret is `{sign: ..., "ciphertext": ...}`."""
        exported = json.loads(self.kept())
        found = [
            each
            for each in exported["deployment"].get("resources", [])
            if each["urn"].endswith(f"::{name}") and each.get("custom")
        ]
        return {"id": found[0]["id"], **found[0].get("outputs", {})} if found else {}

    def _run(self, *words: str) -> Ran:
        pulumi = shutil.which("pulumi", path=self._environment["PATH"])
        assert pulumi is not None, "no engine on PATH: `make test` sets one up"
        done = subprocess.run(
            [pulumi, *words, "--stack", "dev", "--non-interactive", "--color", "never"]
            if words[:2] != ("stack", "init")
            else [pulumi, *words, "--non-interactive", "--color", "never"],
            cwd=self._root,
            env={
                **self._environment,
                "PULUMI_HOME": str(self._root / "home"),
                "PULUMI_BACKEND_URL": f"file://{self._root / 'state'}",
                "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
                "PULUMI_SKIP_UPDATE_CHECK": "true",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        differences: dict[str, set[str]] = {}
        for name, keys in _DIFF.findall(done.stdout):
            differences.setdefault(name, set()).update(key.lstrip("+~-") for key in keys.split(","))
        steps: dict[str, str] = {}
        for name, step in _STEP.findall(done.stdout):
            # What is replaced is also created and deleted.
            if not steps.get(name, "").startswith("replace"):
                steps[name] = step
        return Ran(done.returncode == 0, done.stdout, steps, differences)
