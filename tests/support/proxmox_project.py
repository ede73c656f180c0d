"""A small Pulumi project with resources on Proxmox VE, declared as data.

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
"""Timeout of one run of the engine, in seconds."""

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
    """A declared resource.

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
        steps: the operation, by the name of the resource.
        differences: the inputs that differed, by the name of the resource.
        said: the output.
    """

    ok: bool
    said: str
    steps: dict[str, str]
    differences: dict[str, set[str]]


class ProxmoxProject:
    """A checkout, a state and an engine's home below one directory.

    Args:
        root: an empty directory.
        environment: variables that provide the plugin; see `tests.providers.place`.
        proxmox: the cluster of the resources.
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
        """Write the declared resources, and inputs of the provider that differ from the defaults."""
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
        """Run an update."""
        return self._run("up", "--yes", "--skip-preview", *words)

    def preview(self, *words: str) -> Ran:
        """Run a preview."""
        return self._run("preview", *words)

    def destroy(self) -> Ran:
        """Destroy every resource."""
        return self._run("destroy", "--yes", "--skip-preview")

    def refresh(self) -> Ran:
        """Refresh the state."""
        return self._run("refresh", "--yes", "--skip-preview")

    def saved(self, place: Path) -> SavedStack:
        """A copy of stack and cluster."""
        return SavedStack(self._root / "state", self._proxmox, place)

    def forget(self, name: str) -> Ran:
        """Remove a resource from the state but not from the cluster."""
        exported = json.loads(self.kept())
        urn = next(
            each["urn"] for each in exported["deployment"]["resources"] if each["urn"].endswith(f"::{name}")
        )
        return self._run("state", "delete", urn, "--yes")

    def kept(self) -> str:
        """The stored state, with encrypted secrets."""
        return self._run("stack", "export").said

    def outputs(self, name: str) -> dict[str, Any]:
        """Id and outputs of a resource in the state; a secret is `{sign: ..., "ciphertext": ...}`."""
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
            # A replaced resource is also listed as created and deleted.
            if not steps.get(name, "").startswith("replace"):
                steps[name] = step
        return Ran(done.returncode == 0, done.stdout, steps, differences)
