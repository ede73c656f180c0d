"""What the reconciler needs from the outside, as protocols; adapters and fakes pass the same tests.

Every method may also raise what its port says in `Raises`; nothing else may come out of an adapter.
Fakes of all of them are public, in `ronron.testing`.
"""

from __future__ import annotations

from ronron.ports.engine import Engine, Follow, Program
from ronron.ports.image_registry import ImageRegistry
from ronron.ports.packages import VirtualEnvironments
from ronron.ports.source import Source
from ronron.ports.store import Store
from ronron.ports.surroundings import (
    Backups,
    Clock,
    ContainerFailures,
    Containers,
    ContainerWatch,
    Machines,
    Prober,
    Processes,
    Progress,
)

__all__ = [
    "Backups",
    "Clock",
    "ContainerFailures",
    "ContainerWatch",
    "Containers",
    "Engine",
    "Follow",
    "ImageRegistry",
    "Machines",
    "Prober",
    "Processes",
    "Program",
    "Progress",
    "Source",
    "Store",
    "VirtualEnvironments",
]
