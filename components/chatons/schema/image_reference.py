"""References of container images: repository, tag, digest, version."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

LOCAL_REPOSITORIES = "ronron-local/"
"""Images in this repository are built on the machine that runs them; no registry has them."""

_REFERENCE = re.compile(
    r"(?P<repository>(?:(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9-]+(?=:\d+/))(?::\d+)?/)?"
    r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
"""The grammar of https://pkg.go.dev/github.com/distribution/reference, without digests other than sha256."""

_VERSION = re.compile(r"(?:release-)?v?(\d+(?:\.\d+)*)", re.ASCII)


@dataclass(frozen=True)
class ImageReference:
    """`repository:tag@digest`; the tag and the digest are None when they are not written."""

    repository: str
    tag: str | None
    digest: str | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a reference.

        Raises:
            ValueError: the text is not a reference.
        """
        match = _REFERENCE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not an image reference")
        return cls(match["repository"], match["tag"], match["digest"])

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"

    @property
    def version(self) -> str:
        """The tag without prefix and suffix: `1.8.14` of `1.8.14-npm`, `1.2.53` of `v1.2.53`."""
        tag = self.tag or ""
        match = _VERSION.match(tag)
        return match[1] if match else tag

    @property
    def numbers(self) -> tuple[int, ...]:
        """The version as comparable numbers, `(1, 8, 14)`; empty when the tag has none."""
        match = _VERSION.match(self.tag or "")
        return tuple(int(part) for part in match[1].split(".")) if match else ()

    @property
    def is_local(self) -> bool:
        """Whether no registry has the image."""
        return self.repository.startswith(LOCAL_REPOSITORIES)
