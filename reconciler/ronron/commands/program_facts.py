"""Asks the program of a working tree what it knows of a stack file: problems, kinds of services, secrets.

The program answers as for `ronron validate`, in a process of its own and with its own packages; this half
imports nothing of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ronron.commands.validate import LARGEST_ANSWER, OWN_CHECK, PASSED_ON, SECONDS, own_python
from ronron.core.errors import ConfigError
from ronron.ports import VirtualEnvironments


class _Answer(BaseModel):
    # A newer program may say more.
    model_config = ConfigDict(frozen=True, extra="ignore")


class ProgramProblem(_Answer):
    """One problem of a stack file; see `chatons.validate`."""

    key: str = ""
    line: int | None = None
    problem: str
    remedy: str


class KindFacts(_Answer):
    """A kind of service: the image of a new one, and the keys that it must have."""

    image: str | None = None
    required: tuple[str, ...] = ()


class SecretFacts(_Answer):
    """A secret that the declaration needs.

    Attributes:
        key: without the namespace; with a dot for one inside of a value, such as `backup.password`.
        service: whose it is; None for one of the whole stack.
        random: any random text will do; otherwise only a person knows it.
    """

    key: str
    purpose: str = ""
    service: str | None = None
    random: bool = False


class ProgramFacts(_Answer):
    """What the program says of a stack file.

    Attributes:
        kinds: by name.
        secrets: every secret that is needed; None where the declaration has problems, so that nobody knows.
    """

    problems: tuple[ProgramProblem, ...]
    kinds: Mapping[str, KindFacts]
    secrets: tuple[SecretFacts, ...] | None = None


def program_facts(
    project: Path, packages: VirtualEnvironments | None, file: str, text: str, *, shown: str
) -> ProgramFacts:
    """Ask the program about a text, as if it were the text of a stack file.

    Args:
        project: directory of the Pulumi project.
        packages: what a program with a lock file runs in.
        file: name of the stack file, such as `Pulumi.ours.yaml`.
        text: what is asked about.
        shown: path of the stack file for messages.

    Raises:
        ConfigError: the project has no such program, or one that is too old.
        PackagesError: the packages of its lock file cannot be installed.
    """
    with own_python(project, packages) as python, tempfile.TemporaryDirectory(prefix="ronron-") as place:
        if python is None:
            raise ConfigError(
                "cannot ask the program what a service is: it is not made with the package chatons",
                where=shown,
                hint=f"edit {shown} by hand",
            )
        (Path(place) / file).write_text(text)
        passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        try:
            done = subprocess.run(
                [str(python), "-m", OWN_CHECK, "--json", "--needs", str(Path(place) / file)],
                cwd=project,
                env=passed | {"PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ConfigError(
                f"cannot ask the program: it did not answer within {SECONDS} s",
                where=shown,
                hint="run `ronron validate`",
            ) from None
    lines = done.stdout[:LARGEST_ANSWER].splitlines() or [b""]
    try:
        if b"--needs" in done.stderr:
            raise ConfigError(
                "cannot ask the program: its version of chatons is too old for this command",
                where=shown,
                hint="take a newer chatons in the lock file (docs/own-repository.md)",
            )
        return ProgramFacts.model_validate(json.loads(lines[-1]))
    except (ValueError, TypeError, ValidationError):
        last = done.stderr.decode(errors="replace").strip().splitlines()
        why = last[-1] if last else "it printed no answer"
        raise ConfigError(
            f"cannot ask the program: {why}", where=shown, hint="run `ronron validate`"
        ) from None
