"""Registries of images in memory."""

from __future__ import annotations

from collections.abc import Mapping

from ronron.core.errors import ImageRegistryError
from ronron.core.images import ImageReference


class FakeImageRegistry:
    """See ports.ImageRegistry.

    Args:
        digests: of each image, by `repository:tag` as a person writes it.
    """

    def __init__(self, digests: Mapping[str, str] | None = None) -> None:
        self.digests = dict(digests or {})
        self.asked: list[str] = []
        """Every image that was asked for, in order."""
        self.unreachable: set[str] = set()
        """Registries that do not answer."""

    def digest(self, image: ImageReference) -> str:
        """See ports.ImageRegistry."""
        name = f"{image.repository}:{image.tag}"
        self.asked.append(name)
        if image.registry in self.unreachable:
            raise ImageRegistryError(
                f"cannot reach the registry {image.registry} for {name}: connection refused",
                hint="check the network of this machine, then run the command again",
            )
        if name not in self.digests:
            raise ImageRegistryError(
                f"cannot find {name}: {image.registry} has no such tag", hint="check the name and the tag"
            )
        return self.digests[name]
