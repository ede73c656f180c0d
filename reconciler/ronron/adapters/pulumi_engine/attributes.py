"""The attributes files beside the files of a file backend: a killed engine leaves broken ones."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

ENDING = ".attrs"
_LARGEST = 64 * 1024
"""Bytes; complete attributes have about two hundred."""


def drop_broken(backend: Path, project: str, stack: str) -> None:
    """Remove the attributes that are not a JSON object, of every file that is read to know a stack.

    The backend replaces a file by renaming a new one, but writes its attributes in place. An engine that
    is killed meanwhile leaves half of them, and the state cannot be read any more ("failed to load
    checkpoint: EOF") although it is complete. Attributes contain a media type and a digest, and the backend
    works without them, so removing them while another engine writes them does no harm.

    Source: gocloud.dev blob/fileblob, `writerWithSidecar.Close` and `getAttrs`, as of Pulumi 3.274.1; the
    names are those of pulumi pkg/backend/diy/stores.go.
    """
    top = backend / ".pulumi"
    name = stack.rpartition("/")[2]
    places = (top / "stacks" / project / f"{name}.json", top / "stacks" / f"{name}.json", top / "meta.yaml")
    for place in places:
        # The name of a compressed state, and of the backup before the last change, is longer.
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
