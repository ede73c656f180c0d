"""The engine's Docker plugin: every stack needs it."""

from __future__ import annotations

from toolchain import versions
from toolchain.plugin import Plugin

PLUGIN = Plugin(package="docker", version=versions.DOCKER_PLUGIN, called="docker plugin")
