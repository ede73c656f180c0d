"""The import paths of dynamic providers, which are in users' states: a state holds a provider as a pickle.

A pickle names the class by module and qualified name. A provider that moves cannot be loaded from an older
state, so that its resources can be neither updated nor deleted.
"""

from __future__ import annotations

import base64
import importlib
import pkgutil

import pytest
from pulumi.dynamic import ResourceProvider
from pulumi.dynamic.dynamic import serialize_provider

import chatons

FIXED = {
    ("chatons.machine.access", "AccessProvider"),
    ("chatons.machine.setup", "SetupProvider"),
    ("chatons.proxmox.backup_job", "BackupJobProvider"),
    ("chatons.proxmox.backup_job", "PbsStorageProvider"),
}
"""Add to this list; change or remove nothing in it."""


def providers() -> dict[tuple[str, str], type[ResourceProvider]]:
    """Every dynamic provider of the program, by module and qualified name."""
    for module in pkgutil.walk_packages(chatons.__path__, "chatons."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: list[type[ResourceProvider]] = []
    waiting: list[type[ResourceProvider]] = [ResourceProvider]
    while waiting:
        found += (classes := waiting.pop().__subclasses__())
        waiting += classes
    ours = [each for each in found if each.__module__.split(".")[0] == chatons.__name__]
    return {(each.__module__, each.__qualname__): each for each in ours}


def test_every_provider_is_where_states_look_for_it() -> None:
    assert set(providers()) == FIXED


@pytest.mark.parametrize(("module", "name"), sorted(FIXED))
def test_a_state_holds_the_import_path_of_a_provider(module: str, name: str) -> None:
    pickled = base64.b64decode(serialize_provider(providers()[module, name]()))
    assert module.encode() in pickled
    assert name.encode() in pickled
