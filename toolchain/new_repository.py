"""Makes a collective's own repository from the example for one Docker host, and settings that fit it.

Until releases are published, the wheel of `chatons` is built from this clone.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import uv

from chatons import __version__
from toolchain.cache import Progress
from toolchain.commands import run
from toolchain.errors import ToolchainError

CLONE = Path(__file__).resolve().parents[1]
EXAMPLE = CLONE / "examples" / "single-host"
DEADLINE_SECONDS = 300
"""For a wheel or a lock file: both take seconds, and on a slow line a minute."""


@dataclass(frozen=True)
class Places:
    """Where the files of one user go.

    Args:
        repository: the collective's new repository.
        wheels: built wheels, which `RONRON_FIND_LINKS` names.
        settings: the user's file of settings.
        passphrase: of the secrets in stack files.
        log: the output of the programs that are run.
    """

    repository: Path
    wheels: Path
    settings: Path
    passphrase: Path
    log: Path


def places(repository: Path, log: Path, environ: Mapping[str, str] = os.environ) -> Places:
    """The places of this user; relative variables of XDG do not count, as its specification says."""
    home = Path(environ.get("HOME") or Path.home())
    data, config = environ.get("XDG_DATA_HOME", ""), environ.get("XDG_CONFIG_HOME", "")
    ronron = (Path(config) if config.startswith("/") else home / ".config") / "ronron"
    return Places(
        repository=repository.expanduser().absolute(),
        wheels=(Path(data) if data.startswith("/") else home / ".local" / "share") / "ronron" / "wheels",
        settings=ronron / "settings.env",
        passphrase=ronron / "passphrase",
        log=log,
    )


def make_repository(at: Places, remote: str, progress: Progress) -> None:
    """Make the repository, its lock file, and what is missing of settings and passphrase.

    A second run after a failure does what the first one did not. Nothing that exists is replaced.

    Args:
        at: where everything goes.
        remote: URL of the empty repository on the forge; empty for none.
        progress: gets a line for each step.

    Raises:
        ToolchainError: the folder has files of somebody, or a step failed.
    """
    _refuse_foreign_files(at.repository)
    try:
        shutil.copytree(EXAMPLE, at.repository, dirs_exist_ok=True, copy_function=_copy_new)
        at.wheels.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ToolchainError(
            f"cannot write {error.filename}: {error.strerror}", "make it writable, or choose another folder"
        ) from error
    progress(f"{at.repository}: stack file, policy and program, from {EXAMPLE.relative_to(CLONE)}")
    _lock(at, progress)
    if not (at.repository / ".git").exists():
        _git(at, "init", "--quiet", "--initial-branch", "main")
    origin = _origin(at.repository)
    if remote and not origin:
        _git(at, "remote", "add", "origin", remote)
    if _write_new(at.passphrase, secrets.token_urlsafe(32) + "\n"):
        progress(f"{at.passphrase}: a new passphrase; store a copy where two people can find it")
    wanted = {
        "RONRON_REPOSITORY": origin or remote or str(at.repository),
        "RONRON_FIND_LINKS": str(at.wheels),
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(at.passphrase),
    }
    lines = "".join(f"{name}={value}\n" for name, value in wanted.items())
    if _write_new(at.settings, lines):
        progress(f"{at.settings}: the settings of your shell and of the service")
    elif at.settings.read_text(encoding="utf-8") != lines:
        progress(f"{at.settings} exists and stays as it is; check that it has\n{lines}".rstrip())


def _refuse_foreign_files(repository: Path) -> None:
    """A folder may hold what this module or an empty clone made, and nothing else."""
    if repository.is_relative_to(CLONE):
        raise ToolchainError(
            f"cannot make a repository inside of {CLONE}", "choose another folder: PLACE=~/infrastructure"
        )
    known = {".git", "requirements.lock"} | {entry.name for entry in EXAMPLE.iterdir()}
    try:
        there = {entry.name for entry in repository.iterdir()} if repository.exists() else set()
    except NotADirectoryError:
        raise ToolchainError(f"{repository} is not a folder", "choose another one") from None
    if foreign := sorted(there - known):
        raise ToolchainError(
            f"cannot make a repository in {repository}: it has other files, such as {foreign[0]}",
            "choose an empty folder",
        )


def _lock(at: Places, progress: Progress) -> None:
    """Build the wheel and pin it; an existing lock file stays."""
    lock = at.repository / "requirements.lock"
    if lock.exists():
        return
    run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", at.wheels],
        log=at.log,
        deadline=DEADLINE_SECONDS,
        hint="run `make setup`, and this again",
        directory=CLONE / "components",
    )
    wanted = at.log.with_suffix(".in")
    wanted.write_text(f"chatons=={__version__}\n", encoding="utf-8")
    made = lock.with_name(f".{lock.name}.new")
    run(
        [
            *(uv.find_uv_bin(), "pip", "compile", "--quiet", "--generate-hashes", "--no-emit-index-url"),
            *("--no-header", "--no-annotate", "--find-links", at.wheels),
            *("--constraint", CLONE / "requirements.lock", wanted, "--output-file", made),
        ],
        log=at.log,
        deadline=DEADLINE_SECONDS,
        hint="check that a Python package index is reachable (uv: UV_DEFAULT_INDEX, SSL_CERT_FILE), and run "
        "this again",
    )
    made.replace(lock)
    progress(f"{lock}: chatons {__version__}, built into {at.wheels}")


def _git(at: Places, *words: str) -> None:
    run(["git", *words], log=at.log, deadline=60, hint="install git", directory=at.repository)


def _origin(repository: Path) -> str:
    """The URL of the remote `origin`; empty where there is none."""
    done = subprocess.run(
        ["git", "config", "--local", "--get", "remote.origin.url"],
        cwd=repository,
        stdout=subprocess.PIPE,
        text=True,
        timeout=10,
        check=False,
    )
    return done.stdout.strip()


def _copy_new(source: str, target: str) -> str:
    return target if Path(target).exists() else shutil.copy(source, target)


def _write_new(file: Path, text: str) -> bool:
    """Write a file that only its owner can read, unless it exists."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(file, "x", encoding="utf-8", opener=_private) as opened:
            opened.write(text)
    except FileExistsError:
        return False
    except OSError as error:
        raise ToolchainError(f"cannot write {file}: {error.strerror}", "make its folder writable") from error
    return True


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
