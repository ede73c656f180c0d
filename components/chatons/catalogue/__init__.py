"""The kinds of services: each is one module here, complete in that module.

A module is a kind when it has a `KIND`. To add one, add a file; the declaration, the JSON Schema for editors
and the reference of keys follow. `kind.py` has the contract, `kanboard.py` a short example.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from chatons.catalogue.kind import Kind
from chatons.schema.models import Service


@cache
def kinds() -> Mapping[str, Kind[Any]]:
    """Every kind of service, by name, in the order of the module names.

    Raises:
        ValueError: two modules define a kind of the same name.
    """
    found: dict[str, Kind[Any]] = {}
    for name in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        kind = getattr(importlib.import_module(f"{__name__}.{name}"), "KIND", None)
        if not isinstance(kind, Kind):
            continue
        if kind.name in found:
            raise ValueError(
                f"two modules of {__name__} define the kind {kind.name!r}: {name} is one of them"
            )
        found[kind.name] = kind
    return MappingProxyType(found)


def kind_of(service: Service) -> Kind[Any]:
    """The kind of a declared service."""
    return kinds()[service.kind]
