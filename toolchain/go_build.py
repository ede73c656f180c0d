"""Builds programs from the Go modules below `toolchain/go`, whose go.sum pins every byte of source."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from toolchain import commands, versions
from toolchain.cache import Progress, recipe_hash
from toolchain.errors import ToolchainError

MODULES = Path(__file__).resolve().parent / "go"

BUILD_SECONDS = 1800.0
"""The engine takes 3 to 4 minutes on two cores; a small machine may need several times as long."""

INSTALL_GO = f"install Go {versions.GO_MINIMUM} or newer (https://go.dev/dl) and put its bin folder on PATH"

ENVIRONMENT: Mapping[str, str] = {
    "CGO_ENABLED": "0",  # needs no C compiler
    "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false",
    "GOWORK": "off",
    "GO111MODULE": "on",
}


def module_key(module: str) -> str:
    """A short hash of a module's pins and sources: a change of either is another piece in the cache."""
    return recipe_hash(MODULES / module)[:12]


def go_version() -> str | None:
    """The version of `go` on PATH, or None."""
    text = commands.output_of(["go", "env", "GOVERSION"])
    return text.removeprefix("go").split()[0] if text else None


def go_remedy(version: str | None, toolchain: str | None = None) -> str | None:
    """What to do about this Go; None if it can build everything here.

    Args:
        version: of `go` on PATH; None if there is none.
        toolchain: Go's own setting GOTOOLCHAIN, `auto` if unset: whether it may fetch a newer one.
    """
    if version is None:
        return INSTALL_GO
    numbers = versions.parsed(version)
    if numbers >= versions.parsed(versions.GO_MINIMUM):
        return None
    fetches = numbers >= versions.parsed(versions.GO_FETCHES_NEWER) and (toolchain or "auto") == "auto"
    return None if fetches else f"this is Go {version}: {INSTALL_GO}"


def build(
    module: str,
    package: str,
    output: Path,
    *,
    stamp: Mapping[str, str],
    log: Path,
    progress: Progress,
    niceness: int = 0,
) -> None:
    """Build one program.

    Args:
        module: folder below `toolchain/go`.
        package: import path of the program, or `.`.
        output: where the program goes.
        stamp: variables that the linker sets, by full name.
        log: where Go's output goes.
        progress: prints which step begins and how long it took.
        niceness: how far it steps back for others (0 to 19, as `nice` has it).

    Raises:
        ToolchainError: no good enough Go, or the build fails.
    """
    if shutil.which("go") is None:
        raise ToolchainError(f"cannot build {output.name}: there is no go", INSTALL_GO)
    version = go_version()
    remedy = go_remedy(version, commands.output_of(["go", "env", "GOTOOLCHAIN"]))
    if remedy:
        raise ToolchainError(f"cannot build {output.name} with Go {version}", remedy)
    progress(f"{output.name}: building from Go modules with Go {version}")
    settings = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in sorted(stamp.items()))])
    # The shell's Go settings (experiments, GOFLAGS) do not affect this build, except for downloads.
    unset = {name: "" for name in ("GOEXPERIMENT", "GOOS", "GOARCH") if name in os.environ}
    begun = time.monotonic()
    step_back = ["nice", "-n", str(niceness)] if niceness else []
    commands.run(
        [*step_back, "go", "build", "-ldflags", settings, "-o", output, package],
        directory=MODULES / module,
        environment={**ENVIRONMENT, **unset},
        log=log,
        deadline=BUILD_SECONDS,
        hint="check that the Go module proxy is reachable (go env GOPROXY) and that 6 GB of disk are free",
    )
    progress(f"{output.name}: built in {time.monotonic() - begun:.0f} s")


def module_folder(module: str, path: str, *, log: Path) -> Path:
    """Where Go keeps the source of a dependency of one of our modules.

    Raises:
        ToolchainError: it cannot be fetched.
    """
    commands.run(
        ["go", "mod", "download", path],
        directory=MODULES / module,
        environment=ENVIRONMENT,
        log=log,
        deadline=BUILD_SECONDS,
        hint="check that the Go module proxy is reachable (go env GOPROXY) and run it again",
    )
    commands.run(
        ["go", "list", "-m", "-f", "{{.Dir}}", path],
        directory=MODULES / module,
        environment=ENVIRONMENT,
        log=log,
        deadline=60,
        hint="run it again",
    )
    return Path(log.read_text().strip())
