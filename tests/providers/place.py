"""Where the engine finds the plugin for Proxmox VE: the compiled official one, or the stand-in for it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from toolchain import proxmoxve_plugin
from toolchain.cache import Cache, cache_root

Kind = Literal["compiled", "stand-in"]

_ROOT = Path(__file__).parents[2]
_PROGRAM = "pulumi-resource-proxmoxve"


def compiled() -> Path | None:
    """The official plugin's program: on this machine, downloaded or built. None: `make test` makes it."""
    found = proxmoxve_plugin.PLUGIN.find(Cache(cache_root()))
    return Path(found.path) / proxmoxve_plugin.PLUGIN.file if found and found.path else None


def kinds() -> tuple[Kind, ...]:
    """The plugins that can be had here."""
    return get_args(Kind) if compiled() else ("stand-in",)


def plugin_environment(kind: Kind, place: Path, *, ca: Path | None = None) -> Mapping[str, str]:
    """What to set for the engine so that it takes this plugin.

    Args:
        kind: which one.
        place: a folder for what is put on PATH; it is made.
        ca: the certificates that the plugin trusts; None for those of the system.
    """
    folder = place / kind
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / _PROGRAM
    if kind == "compiled":
        made = compiled()
        assert made is not None, "there is no compiled plugin: `make test` makes one"
        text = f'exec {shlex.quote(str(made))} "$@"'
    else:
        python, root = shlex.quote(sys.executable), shlex.quote(str(_ROOT))
        text = f"cd {root} && exec {python} -m tests.providers.proxmoxve"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return {
        # The engine takes a plugin on PATH before those of its home, and says so in a warning.
        "PATH": os.pathsep.join([str(folder), os.environ.get("PATH", os.defpath)]),
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        **({"SSL_CERT_FILE": str(ca)} if ca else {}),
    }
