"""The example stacks on the real engine: what a collective begins from previews cleanly on a new cluster."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from chatons.declaration import secrets
from chatons.declaration.load import StackConfiguration, load
from chatons.schema.problems import NAMESPACE
from tests.providers.place import plugin_environment
from tests.support.collectives import PROGRAM, PROJECT
from tests.support.declarations import PASSWORD
from tests.support.fake_proxmox import FakeProxmox, fake_proxmox

pytestmark = pytest.mark.timeout(300)

EXAMPLES = PROJECT / "examples" / "proxmox" / "stacks"
PATIENCE = 120
"""Seconds after which a call of the engine hangs; it takes a tenth of it."""
OTHER_SECRETS = {
    "proxmox-pbs-password": PASSWORD,
    "login": "key:secret",
    "ssh_key": "-----BEGIN OPENSSH PRIVATE KEY-----\nbm90aGluZw==\n-----END OPENSSH PRIVATE KEY-----\n",
}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[FakeProxmox]:
    """One without the storage that production makes."""
    with fake_proxmox(tmp_path) as cluster:
        cluster.do(lambda inside: inside.storages.pop("vault"))
        yield cluster


@pytest.mark.parametrize(
    ("stack", "machines"), [("staging", {"test01": 121}), ("production", {"pica01": 101, "pica02": 102})]
)
def test_an_example_stack_previews_cleanly(
    stack: str, machines: dict[str, int], cluster: FakeProxmox, tmp_path: Path
) -> None:
    example = Example(tmp_path / "example", stack, cluster)
    steps = example.preview()
    assert {step["op"] for step in steps} == {"create"}
    made = {
        step["urn"].rsplit("::", 1)[1]: step["newState"]["inputs"]
        for step in steps
        if step["urn"].split("::")[2].endswith("vmLegacy:VmLegacy")
    }
    assert {name: inputs["vmId"] for name, inputs in made.items() if not name.endswith("-data")} == machines
    types = Counter(step["urn"].split("::")[2].rsplit("$")[-1] for step in steps)
    assert types["chatons:index:Service"] == len(example.config["ronron:services"])
    assert types["chatons:index:Edge"] == len(machines)
    assert cluster.changes == []


class Example:
    """A clone with one of the example stacks, and every secret set that it asks for."""

    def __init__(self, root: Path, stack: str, cluster: FakeProxmox) -> None:
        self.root, self.stack = root, stack
        (root / "stacks").mkdir(parents=True)
        (root / "state").mkdir()
        for part in PROGRAM:
            copy = shutil.copytree if (PROJECT / part).is_dir() else shutil.copyfile
            copy(PROJECT / part, root / part)
        shutil.copyfile(PROJECT / "Pulumi.yaml", root / "Pulumi.yaml")
        self.environment = {
            **os.environ,
            **plugin_environment("stand-in", root / "bin", ca=cluster.ca),
            "VIRTUAL_ENV": sys.prefix,
            "PULUMI_HOME": str(root / "home"),
            "PULUMI_BACKEND_URL": f"file://{root / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "correct horse battery",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        plugins = os.environ.get("RONRON_PULUMI_PLUGINS")
        if plugins:
            (root / "home").mkdir()
            (root / "home" / "plugins").symlink_to(plugins)
        file = f"Pulumi.{stack}.yaml"
        document: Any = YAML(typ="safe").load((EXAMPLES / file).read_text())
        self.config: dict[str, Any] = document["config"]
        self.pulumi("stack", "init", stack)
        # Before the secrets: the engine puts the salt of their passphrase into this file.
        self.config["ronron:proxmox"]["endpoint"] = cluster.endpoint
        salt = YAML(typ="safe").load((root / "stacks" / file).read_text()) or {}
        with (root / "stacks" / file).open("w") as opened:
            YAML().dump({**salt, **document}, opened)
        for words, value in self._secrets(cluster.token):
            self.pulumi("config", "set", "--secret", *words, "--stack", stack, given=value)

    def _secrets(self, token: str) -> Iterator[tuple[list[str], str]]:
        values = {key.partition(":")[2]: value for key, value in self.config.items() if "ronron:" in key}
        declared = load(
            StackConfiguration(stack=self.stack, project="ronron", values=values, secrets={}),
            ask_for_secrets=False,
        )
        others = {**OTHER_SECRETS, "proxmox-token": token}
        for each in secrets.required(declared):
            yield [f"{NAMESPACE}:{each.key}"], others.get(each.key, PASSWORD)
        for role in secrets.backup_roles(declared):
            yield ["--path", f"{NAMESPACE}:backup.{role}"], others.get(role, PASSWORD)

    def preview(self) -> list[dict[str, Any]]:
        """What the first update would do."""
        steps: list[dict[str, Any]] = json.loads(self.pulumi("preview", "--json", "--stack", self.stack))[
            "steps"
        ]
        return steps

    def pulumi(self, *words: str, given: str = "") -> str:
        """Run the engine; it must do what it is told."""
        done = subprocess.run(
            ["pulumi", *words, "--non-interactive", "--color", "never"],
            cwd=self.root,
            env=self.environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
