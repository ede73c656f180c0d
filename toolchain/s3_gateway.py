"""An S3 server for tests: VersityGW, built from Go modules; it checks signatures as S3 does."""

from __future__ import annotations

from pathlib import Path

from toolchain import go_build, versions
from toolchain.cache import Cache, Say

PROGRAM = "versitygw"
_PACKAGE = "github.com/versity/versitygw/cmd/versitygw"


def ensure(cache: Cache, say: Say) -> Path:
    """The program; built now if it is missing.

    Raises:
        ToolchainError: it cannot be built here.
    """
    folder = cache.obtain(_key(), [PROGRAM], lambda made: _build(cache, made, say), piece=PROGRAM, say=say)
    return folder / PROGRAM


def _key() -> str:
    return f"s3-gateway-{versions.S3_GATEWAY}-{go_build.module_key('s3_gateway')}"


def _build(cache: Cache, folder: Path, say: Say) -> tuple[str, str]:
    go_build.build(
        "s3_gateway", _PACKAGE, folder / PROGRAM, stamp={}, log=cache.logs / "s3-gateway.log", say=say
    )
    return versions.S3_GATEWAY, "built"
