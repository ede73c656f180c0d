"""Completes names of environments and services in a shell, from the local records."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ronron.adapters.sql_store.store import SqlStore


def environment_names(context: typer.Context, incomplete: str) -> list[str]:
    """Names of the environments that have a record; empty where the records cannot be read."""
    return _beginning(incomplete, context, lambda store: list(store.environments()))


def service_names(context: typer.Context, incomplete: str) -> list[str]:
    """Names of the services of the environment that stands before; empty where nobody knows them."""
    from ronron.core.inventory import read_inventory

    def names(store: SqlStore) -> list[str]:
        inventory = read_inventory(store.load(context.params.get("environment") or "").inventory)
        return sorted(inventory.services) if inventory is not None else []

    return _beginning(incomplete, context, names)


def _beginning(incomplete: str, context: typer.Context, names: Callable[[SqlStore], list[str]]) -> list[str]:
    from ronron.adapters.sql_store.store import FILE, SqlStore
    from ronron.core.errors import ReconcilerError
    from ronron.settings import load_settings

    try:
        given = context.find_root().params
        settings = load_settings(repository=given.get("repository"), state=given.get("state"))
        # A shell that completes makes no records.
        if not (settings.state / FILE).is_file():
            return []
        with SqlStore(settings.state) as store:
            return [name for name in names(store) if name.startswith(incomplete)]
    except ReconcilerError:
        return []
