"""The attributes that a file backend keeps beside its files, and what a killed engine leaves of them."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

ENDING = ".attrs"
_LARGEST = 64 * 1024
"""Bytes; a whole one has about two hundred."""


def drop_broken(backend: Path, project: str, stack: str) -> None:
    """Remove the attributes that are not a JSON object, of every file that is read to know a stack.

    The backend writes a file aside and renames it, but writes its attributes in place: an engine that is
    killed in between leaves half of them, and then nothing reads the state any more ("failed to load
    checkpoint: EOF"), though it is whole. They hold a media type and a digest, and the backend does without
    them. So it does no harm either when another engine is just writing them.

    Source: gocloud.dev blob/fileblob, `writerWithSidecar.Close` and `getAttrs`, as of Pulumi 3.274.1; the
    names are those of pulumi pkg/backend/diy/stores.go.
    """
    top = backend / ".pulumi"
    name = stack.rpartition("/")[2]
    places = (top / "stacks" / project / f"{name}.json", top / "stacks" / f"{name}.json", top / "meta.yaml")
    for place in places:
        # Of a compressed state the name goes on; of the copy before the last change too.
        for file in place.parent.glob(f"{place.name}*{ENDING}"):
            with suppress(OSError):
                if not _is_whole(file):
                    file.unlink()


def _is_whole(file: Path) -> bool:
    with file.open("rb") as attributes:
        try:
            return isinstance(json.loads(attributes.read(_LARGEST)), dict)
        except ValueError:
            return False
