"""Wheels and lock files of tests: tiny ones by hand, and `chatons` as somebody builds it from a clone."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZipFile

import uv

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120


def tiny_wheel(folder: Path, name: str, version: str, source: str = "") -> Path:
    """Write the wheel of a module with a version and some source."""
    folder.mkdir(parents=True, exist_ok=True)
    told = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n{source}",
        f"{told}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{told}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in files.items())
    files[f"{told}/RECORD"] = record + f"{told}/RECORD,,\n"
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel


def lock_of(*wheels: Path) -> str:
    """A lock file that pins wheels."""
    lines = []
    for wheel in wheels:
        name, version, *_ = wheel.name.split("-")
        lines.append(
            f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"
        )
    return "".join(lines)


def chatons_wheel(folder: Path, version: str, work: Path) -> Path:
    """Build `chatons` from this clone under another version, without a network."""
    source = shutil.copytree(
        ROOT / "components", work / f"components-{version}", ignore=shutil.ignore_patterns("__pycache__")
    )
    module = source / "chatons" / "__init__.py"
    text, found = re.subn(
        r'^__version__ = ".*"$', f'__version__ = "{version}"', module.read_text(), flags=re.MULTILINE
    )
    assert found == 1
    module.write_text(text)
    _run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder, cwd=source)
    return folder / f"chatons-{version}-py3-none-any.whl"


def locked(wheels: Path, version: str, work: Path) -> str:
    """A lock file for a version of `chatons`, as docs/own-repository.md has it written.

    Its other packages have the versions of this clone's own lock file: they are in uv's cache already.
    """
    lock = work / f"requirements-{version}.lock"
    _run(
        *(uv.find_uv_bin(), "pip", "compile", "--quiet", "--generate-hashes", "--no-emit-index-url"),
        *("--find-links", wheels, "--constraint", ROOT / "requirements.lock", "-", "--output-file", lock),
        cwd=work,
        given=f"chatons=={version}\n",
    )
    return lock.read_text()


def _run(*words: str | Path, cwd: Path, given: str = "", more: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**os.environ, **(more or {})},
        input=given,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
