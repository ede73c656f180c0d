"""The unit that `ronron unit` prints: systemd accepts it, and what it starts works with what it gives."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.collectives import Collective, web
from tests.support.installations import installation
from toolchain import debian
from toolchain.cache import Cache, cache_root

RONRON = str(Path(sys.executable).with_name("ronron"))
SYSTEMD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def given_by_systemd(unit: str) -> dict[str, str]:
    """The environment of the unit's command: what systemd sets for its user, and what the unit sets."""
    (user,) = re.findall(r"^User=(.*)$", unit, re.MULTILINE)
    home = pwd.getpwnam(user).pw_dir
    environ = {"PATH": SYSTEMD_PATH, "HOME": home, "USER": user, "LOGNAME": user, "LANG": "C.UTF-8"}
    for line in re.findall(r"^Environment=(.*)$", unit, re.MULTILINE):
        for word in shlex.split(line):
            name, _, value = word.replace("%%", "%").partition("=")
            environ[name] = value
    return environ


@pytest.fixture
def unit(collective: Collective) -> str:
    """The unit, written by a person whose settings are in a file."""
    settings = collective.root / "settings.env"
    settings.write_text(
        f"RONRON_REPOSITORY={collective.repository}\nRONRON_STATE={collective.state}\n"
        f"PULUMI_CONFIG_PASSPHRASE_FILE={collective.sealed.passphrase}\n"
    )
    shell = {
        "HOME": str(collective.root),
        "PATH": SYSTEMD_PATH,
        "RONRON_SETTINGS_FILE": str(settings),
        "RONRON_INSTALLATION": str(installation(collective.root / "installation.json")),
        "RONRON_POLL": "10s",
    }
    file = collective.root / "ronron.service"
    done = subprocess.run(
        [RONRON, "unit", "--output", str(file)],
        cwd=collective.root, env=shell, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return file.read_text()


def test_systemd_accepts_the_unit(unit: str, collective: Collective) -> None:
    if shutil.which("systemd-analyze") is None:
        debian.install(["systemd"], cache=Cache(cache_root()), progress=print)
    file = collective.root / "ronron.service"
    done = subprocess.run(
        ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_service_works_with_what_the_unit_gives(unit: str, collective: Collective) -> None:
    collective.policy(local={})
    site = {**web(collective.images, "by the unit"), "hostname": "site.localhost"}
    collective.declare({"site": site})
    collective.push()
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    environ = given_by_systemd(unit)
    assert environ["RONRON_POLL"] == "10s", "what only the shell has is in the unit"
    assert "RONRON_STATE" not in environ, "what the file of settings has is not in the unit"
    done = subprocess.run(
        [*shlex.split(command), "--once"],
        cwd="/", env=environ, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert collective.get("site.localhost").text == "by the unit"

    # The same state from the person's shell.
    shell = {name: value for name, value in os.environ.items() if not name.startswith(("RONRON", "PULUMI"))}
    by_hand = subprocess.run(
        [RONRON, "pulumi", "local", "--", "stack", "ls"],
        cwd=collective.tree,
        env={**shell, **{name: environ[name] for name in ("RONRON_SETTINGS_FILE", "RONRON_INSTALLATION")}},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "local*" in by_hand.stdout, by_hand.stderr
