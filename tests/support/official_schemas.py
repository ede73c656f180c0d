"""What a provider itself says about the inputs that are used, read from a table; see the head of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

PLAIN = {"text": str, "whole number": int, "truth value": bool}

Rows = Mapping[str, Mapping[str, Any]]
Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Table:
    """One table, such as official_schema.yaml.

    Attributes:
        whole: as it is written.
    """

    whole: dict[str, Any]

    @classmethod
    def read(cls, name: str) -> Table:
        """A file in `tests/`."""
        return cls(YAML(typ="safe").load((Path(__file__).parents[1] / name).read_text(encoding="utf-8")))

    @property
    def resources(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Inputs by type of resource."""
        found: dict[str, dict[str, dict[str, Any]]] = self.whole["resources"]
        return found

    @property
    def types(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Inputs by type that inputs may have."""
        found: dict[str, dict[str, dict[str, Any]]] = self.whole["types"]
        return found

    def wrong(self, value: Any, rows: Rows, path: Path_ = ()) -> Iterator[str]:
        """What the provider would not understand in a structure with the given inputs."""
        for key, inner in value.items():
            if key not in rows:
                yield f"{(*path, key)}: the table knows no such input"
            else:
                yield from self.misfits(inner, rows[key]["type"], (*path, key))
        for key, row in rows.items():
            if row.get("required") and key not in value:
                yield f"{(*path, key)}: required and not there"

    def misfits(self, value: Any, type_: str, path: Path_) -> Iterator[str]:
        """Where a value is not of its type."""
        if type_ in PLAIN:
            # bool is an int to Python, and not to the provider.
            if type(value) is not PLAIN[type_]:
                yield f"{path}: {value!r} is no {type_}"
        elif type_ in self.types:
            yield from self.wrong(value, self.types[type_], path)
        elif type_.startswith("["):
            if not isinstance(value, list):
                yield f"{path}: {value!r} is no list"
                return
            for index, inner in enumerate(value):
                yield from self.misfits(inner, type_[1:-1], (*path, index))
        else:
            assert type_.startswith("{"), f"{type_!r} stands in the table and means nothing"
            for key, inner in value.items():
                yield from self.misfits(inner, type_[1:-1], (*path, key))

    def used(self, type_: str, value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Every input of a resource or a type that a structure has, with where it belongs."""
        for key, inner in value.items():
            yield type_, key
            yield from self._inside({**self.resources, **self.types}[type_][key]["type"], inner)

    def _inside(self, type_: str, value: Any) -> Iterator[tuple[str, str]]:
        if type_ in self.types:
            yield from self.used(type_, value)
        elif type_.startswith("["):
            for inner in value:
                yield from self._inside(type_[1:-1], inner)
