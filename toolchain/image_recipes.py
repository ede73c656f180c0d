"""What the images that are built here are made of. Their names do not pretend to be upstream's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from toolchain.cache import recipe_hash

CONTEXTS = Path(__file__).resolve().parent / "images"
RECIPE_LABEL = "ronron.recipe"
STAGE_LABEL = "ronron.stage"


@dataclass(frozen=True)
class Recipe:
    """One image: its context is a folder below `toolchain/images`, or below `contexts`."""

    context: str
    tag: str
    base: Recipe | None = None
    certificates: bool = False
    """Whether the build needs this machine's bundle of certificates (`ca.pem` in its context)."""
    parameters: str = ""
    """What else the image is made from, besides its context and its base."""
    contexts: Path = CONTEXTS

    @property
    def folder(self) -> Path:
        """The build context."""
        return self.contexts / self.context

    @property
    def hash(self) -> str:
        """Changes with anything that the image is made from, except the packages of the day."""
        return recipe_hash(self.folder, self.base.hash if self.base else "", self.parameters)


DEBIAN = Recipe("debian", "ronron-local/debian:12", parameters="debootstrap minbase bookworm")
DEBIAN_UPSTREAM = replace(DEBIAN, parameters="FROM debian:12.11-slim")
"""The same image where a registry of images answers: upstream's Debian with our few settings on top."""

POSTGRES = Recipe("postgres", "ronron-local/postgres:15-debian12", base=DEBIAN)
CADDY = Recipe("caddy", "ronron-local/caddy:2.6.2-debian12", base=DEBIAN)
ETHERPAD = Recipe("etherpad", "ronron-local/etherpad:1.8.14-npm", base=DEBIAN, certificates=True)

LOCAL = {"edge": CADDY, "postgres": POSTGRES, "etherpad": ETHERPAD, "debian": DEBIAN}
"""Every image by the part that it plays."""
