"""What systemd gives the command of a unit, for tests on machines that systemd does not run."""

from __future__ import annotations

import pwd
import re
import shlex

SYSTEMD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def given_by_systemd(unit: str, home: str | None = None) -> dict[str, str]:
    """The environment of the unit's command: what systemd sets for its user, and what the unit sets.

    Args:
        unit: its text.
        home: the home directory of its user, where a test gives the user another one.
    """
    (user,) = re.findall(r"^User=(.*)$", unit, re.MULTILINE)
    home = home or pwd.getpwnam(user).pw_dir
    environ = {"PATH": SYSTEMD_PATH, "HOME": home, "USER": user, "LOGNAME": user, "LANG": "C.UTF-8"}
    for line in re.findall(r"^Environment=(.*)$", unit, re.MULTILINE):
        for word in shlex.split(line):
            name, _, value = word.replace("%%", "%").partition("=")
            environ[name] = value
    return environ


def command_of(unit: str) -> list[str]:
    """The words of the unit's command."""
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    return shlex.split(command)
