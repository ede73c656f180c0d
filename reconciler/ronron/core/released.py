"""What stands in the way back from a failed revision, and what becomes of it. Values.

`core.way_back` decides with them; an outcome tells of them.
"""

from __future__ import annotations

from ronron.core.urns import name_of, type_of
from ronron.core.value import Value


class Guarded(Value):
    """A resource of a state that the engine does not delete without further ado.

    Args:
        urn: its URN.
        id: its provider's ID of it: of a Docker volume the name, of a virtual machine the number.
        place: the node of a cluster that has it, or the name of its provider, which is the machine's name for
            what is in its Docker.
        protected: the engine refuses to delete it.
        retained: when it leaves the state, it stays in the world.
        hooked: the program runs something before its deletion, and may refuse it.
    """

    urn: str
    id: str = ""
    place: str = ""
    protected: bool = False
    retained: bool = False
    hooked: bool = False

    @property
    def name(self) -> str:
        """The resource's logical name."""
        return name_of(self.urn)

    @property
    def type(self) -> str:
        """The resource's own type token."""
        return type_of(self.urn)


class Released(Value):
    """A resource that a failed revision added and that the way back left where it is, out of the state.

    Args:
        name: its logical name.
        kind: what it is, in words: `volume`, `virtual machine`, or the type's own name.
        id: its provider's ID of it.
        place: the machine, node or provider that has it; empty where nobody knows.
    """

    name: str
    kind: str
    id: str = ""
    place: str = ""

    @property
    def text(self) -> str:
        """For people: `the volume ronron-local-pad-plugins stays on here`."""
        where = f" on {self.place}" if self.place and not self.place.startswith("default") else ""
        named = self.id if self.id and self.name in self.id else f"{self.id} ({self.name})".strip()
        return f"the {self.kind} {named if self.id else self.name} stays{where}"


class UnrestoredData(Value):
    """A service whose code went back to an earlier image while its data may have been migrated.

    Args:
        service: its name in the inventory.
        snapshot: ID of the snapshot taken before the failed update, in full; None where there is none.
    """

    service: str
    snapshot: str | None = None


class RestoredData(Value):
    """A service whose data went back with its code.

    Args:
        service: its name in the inventory.
        snapshot: ID of the snapshot that was restored, in full.
        safety_snapshot: ID of the snapshot of the data that the restore replaced, in full.
    """

    service: str
    snapshot: str
    safety_snapshot: str | None = None
