"""What the reconciler needs from the outside, as protocols; adapters and fakes pass the same tests.

Every method may also raise what its port says in `Raises`; nothing else may come out of an adapter.
Fakes of all of them are public, in `ronron.testing`.
"""

from __future__ import annotations

from ronron.ports.engine import Engine, Program
from ronron.ports.image_registry import ImageRegistry
from ronron.ports.source import Source
from ronron.ports.store import Store
from ronron.ports.surroundings import Backups, Clock, Machines, Prober, Processes, Progress

__all__ = [
    "Backups",
    "Clock",
    "Engine",
    "ImageRegistry",
    "Machines",
    "Prober",
    "Processes",
    "Program",
    "Progress",
    "Source",
    "Store",
]
