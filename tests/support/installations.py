"""What `make setup` has got here, as `ronron` reads it."""

from __future__ import annotations

import os
from pathlib import Path

from toolchain import environment
from toolchain.cache import Cache, cache_root


def installation(file: Path) -> Path:
    """Write where engine and plugins are into a file, which RONRON_INSTALLATION then names."""
    environ = {**os.environ, environment.INSTALLATION_VARIABLE: str(file)}
    written = environment.write_installation(Cache(cache_root()), environ)
    assert written == file
    return file
