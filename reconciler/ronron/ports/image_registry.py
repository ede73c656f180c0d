"""The port to the registries of container images."""

from __future__ import annotations

from typing import Protocol

from ronron.core.images import ImageReference


class ImageRegistry(Protocol):
    """The registries that images are pulled from; each image's own one is asked."""

    def digest(self, image: ImageReference) -> str:
        """The digest that the image's tag has now: `sha256:` and 64 digits.

        It is that of the list of platforms where the image has one. Takes 30 s at most.

        Raises:
            ImageRegistryError: the registry is unreachable, refuses, or does not know the tag; the message
                names the image, and says which of these.
        """
        ...
