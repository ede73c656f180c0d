"""The lineage of a service's data: whether they are those that the snapshots are of. Pure.

A volume that was lost and recreated is empty, and a snapshot of it would be the newest one. So the agent
records where the data are: the identity of each volume and of the database's cluster. A volume with another
identity was recreated. Its snapshots begin another lineage, and none is taken by schedule until a person has
restored a snapshot or accepted the present data.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

ORIGINAL = ""
"""The lineage of the first data in a repository, and of every snapshot of an earlier version of the agent."""

DATABASE = "database"
"""The place of the database; the places of files are paths such as `/data/files`."""

KNOWN, RECREATED, UNKNOWN = "known", "recreated", "unknown"
RESTORED, ACCEPTED = "restored", "accepted"


@dataclass(frozen=True)
class Data:
    """What the agent knows of the data that it takes snapshots of.

    Attributes:
        state: `known`: the snapshots are of these data; `recreated`: volumes were recreated, and a person has
            to restore or to accept; `unknown`: the repository could not be read yet.
        lineage: of the snapshots that are taken now.
        places: identity of each place of data.
        recreated: places that were recreated.
        since: when the agent found that, as documents have it; None while nothing was recreated.
        word: a person's last word about the data: `restored` or `accepted`; None where there was none.
    """

    state: str
    lineage: str = ORIGINAL
    places: Mapping[str, str] = field(default_factory=dict)
    recreated: tuple[str, ...] = ()
    since: str | None = None
    word: str | None = None

    def document(self) -> dict[str, Any]:
        """As STATUS and the answer of `data` have it."""
        return {
            "state": self.state,
            "lineage": self.lineage,
            "recreated": list(self.recreated),
            "since": self.since,
            "word": self.word,
        }


def judged(
    stored: Data | None,
    places: Mapping[str, str],
    manifests: Iterable[Mapping[str, Any]],
    *,
    lived: bool,
    at: str,
) -> Data:
    """What the data are now.

    Args:
        stored: the earlier result; None where the agent's journal has none.
        places: identity of each place now.
        manifests: of the repository's snapshots, the newest first.
        lived: an earlier version of the agent took snapshots of these data before: it recorded no places.
        at: now, as documents have it.
    """
    known = list(manifests)
    if stored is None or stored.state == UNKNOWN:
        return _first(places, known, lived=lived, at=at)
    changed = _changed(stored.places, places)
    if not changed:
        return replace(stored, places=dict(places))
    if not known:
        # Nothing can be lost: no snapshot was taken before.
        return Data(KNOWN, stored.lineage, dict(places))
    if stored.state == RECREATED:
        changed_places = tuple(sorted({*stored.recreated, *changed}))
        return replace(stored, places=dict(places), recreated=changed_places)
    return _recreated(places, changed, at)


def accepted(data: Data, places: Mapping[str, str]) -> Data:
    """After a person said that the present data are right, even where they are empty."""
    # Of a repository that was never read nobody knows whether it has snapshots of other data.
    lineage = uuid.uuid4().hex if data.state == UNKNOWN else data.lineage
    return Data(KNOWN, lineage, dict(places), word=ACCEPTED)


def restored(manifest: Mapping[str, Any], places: Mapping[str, str]) -> Data:
    """After a person restored a snapshot: the data continue its lineage."""
    return Data(KNOWN, lineage_of(manifest), dict(places), word=RESTORED)


def lineage_of(manifest: Mapping[str, Any]) -> str:
    """The lineage of a snapshot, by its manifest."""
    return str(manifest.get("lineage") or ORIGINAL)


def written(data: Data) -> str:
    """The document that the journal stores."""
    return json.dumps(asdict(data))


def read(text: str) -> Data:
    """A document of the journal."""
    document = json.loads(text)
    return Data(
        state=str(document["state"]),
        lineage=str(document["lineage"]),
        places=dict(document["places"]),
        recreated=tuple(document["recreated"]),
        since=document["since"],
        word=document["word"],
    )


def _first(places: Mapping[str, str], known: list[Mapping[str, Any]], *, lived: bool, at: str) -> Data:
    """Of an agent whose volume is new, or that an agent of an earlier version ran on."""
    if lived or not known:
        return Data(KNOWN, ORIGINAL, dict(places))
    # Where the agent's own volume was lost and the data were not, a snapshot has their identities.
    recorded = [manifest for manifest in known if manifest.get("places")]
    for manifest in recorded:
        if not _changed(manifest["places"], places):
            if manifest.get("recreated"):
                return replace(_recreated(places, sorted(places), at), lineage=lineage_of(manifest))
            return Data(KNOWN, lineage_of(manifest), dict(places))
    changed = _changed(recorded[0]["places"], places) if recorded else sorted(places)
    return _recreated(places, changed, at)


def _recreated(places: Mapping[str, str], changed: Iterable[str], at: str) -> Data:
    return Data(RECREATED, uuid.uuid4().hex, dict(places), recreated=tuple(sorted(changed)), since=at)


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The places whose identity is another one; a place that was declared since is not one of them."""
    return sorted(place for place in now if place in before and before[place] != now[place])
