"""References of container images: which registry has them, and what is asked there. Pure.

The program has the same grammar in `chatons.schema.image_reference`; decision 15 says why there are two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

DOCKER_HUB = "docker.io"
"""The registry of references that name none."""
BUILT_HERE = "ronron-local/"
"""Images in this repository are built on the machine that runs them; no registry has them."""
DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)

_REFERENCE = re.compile(
    r"(?:(?P<registry>localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9-]+(?=:\d+/)|\[[0-9a-fA-F:]+\])"
    r"(?P<port>:\d+)?/)?"
    r"(?P<path>[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
"""The grammar of https://pkg.go.dev/github.com/distribution/reference, without digests other than sha256."""


@dataclass(frozen=True)
class ImageReference:
    """`repository:tag@digest`.

    Attributes:
        repository: as a person writes it, with its registry where one is named.
        registry: `host` or `host:port`; `docker.io` where none is named.
        path: of the repository at its registry; Docker Hub's own images are below `library/`.
        tag: None where none is written.
        digest: None where none is written.
    """

    repository: str
    registry: str
    path: str
    tag: str | None
    digest: str | None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"

    def pinned(self, digest: str) -> ImageReference:
        """The same tag with another digest."""
        return replace(self, digest=digest)

    @property
    def is_built_here(self) -> bool:
        """Whether no registry has the image."""
        return self.repository.startswith(BUILT_HERE)


def read_image(text: str) -> ImageReference | None:
    """Read a reference; None where the text is not one."""
    match = _REFERENCE.fullmatch(text)
    if match is None:
        return None
    registry = f"{match['registry']}{match['port'] or ''}" if match["registry"] else DOCKER_HUB
    path = match["path"]
    repository = path if match["registry"] is None else f"{registry}/{path}"
    if registry in {DOCKER_HUB, f"index.{DOCKER_HUB}"}:
        registry = DOCKER_HUB
        path = path if "/" in path else f"library/{path}"
    return ImageReference(repository, registry, path, match["tag"], match["digest"])
