"""The engine's plugin for Proxmox VE: only a stack with a virtual machine on a node needs it."""

from __future__ import annotations

from toolchain import versions
from toolchain.plugin import Plugin

PLUGIN = Plugin(
    package="proxmoxve",
    version=versions.PROXMOXVE_PLUGIN,
    called="proxmox plugin",
    server="github://api.github.com/muhlba91/pulumi-proxmoxve",  # as its SDK's pulumi-plugin.json says
)

REMEDY = (
    "run `python -m toolchain ensure proxmox` in the clone before you declare a machine on Proxmox VE "
    "(where the engine may download plugins, it gets this one by itself)"
)
