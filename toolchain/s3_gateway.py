"""An S3 server for tests: VersityGW, built from Go modules; it checks signatures as S3 does."""

from __future__ import annotations

from pathlib import Path

from toolchain import go_build, versions
from toolchain.cache import Cache, Progress

PROGRAM = "versitygw"
_PACKAGE = "github.com/versity/versitygw/cmd/versitygw"


def ensure(cache: Cache, progress: Progress) -> Path:
    """The program; built now if it is missing.

    Raises:
        ToolchainError: it cannot be built here.
    """
    folder = cache.obtain(
        _key(), [PROGRAM], lambda made: _build(cache, made, progress), piece=PROGRAM, progress=progress
    )
    return folder / PROGRAM


def _key() -> str:
    return f"s3-gateway-{versions.S3_GATEWAY}-{go_build.module_key('s3_gateway')}"


def _build(cache: Cache, folder: Path, progress: Progress) -> tuple[str, str]:
    go_build.build(
        "s3_gateway",
        _PACKAGE,
        folder / PROGRAM,
        stamp={},
        log=cache.logs / "s3-gateway.log",
        progress=progress,
    )
    return versions.S3_GATEWAY, "built"
