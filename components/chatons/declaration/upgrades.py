"""Which version jumps are refused, and why. The rules themselves are in `catalogue/upgrades.yaml`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from ruamel.yaml import YAML

from chatons.declaration.resolved import Declaration, ResolvedService, resolve
from chatons.schema.image_reference import ImageReference
from chatons.schema.problems import Problem

RULES = Path(__file__).parents[1] / "catalogue" / "upgrades.yaml"
POSTGRESQL = "postgresql"


def _range(value: object) -> SpecifierSet:
    try:
        return SpecifierSet(str(value))
    except InvalidSpecifier as error:
        raise ValueError(f"{value!r} is not a range of versions") from error


Range = Annotated[SpecifierSet, BeforeValidator(_range)]


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Jump(_Rule):
    """A jump that must not be made: between two ranges, or any change of one sort."""

    kind: str
    origin: Range | None = Field(default=None, alias="from")
    target: Range | None = Field(default=None, alias="to")
    change: Literal["downgrade", "major"] | None = None
    because: str
    instead: str
    see: str

    @model_validator(mode="after")
    def _one_sort(self) -> Self:
        if (self.origin is None) != (self.target is None) or (self.origin is None) == (self.change is None):
            raise ValueError("a jump has `from` and `to`, or `change`")
        return self

    def forbids(self, before: Version, after: Version) -> bool:
        """Whether the jump between two versions of the right kind is this one."""
        if self.change == "downgrade":
            return after < before
        if self.change == "major":
            return after.major != before.major
        return (
            self.origin is not None
            and self.target is not None
            and before in self.origin
            and after in self.target
        )


class Requirement(_Rule):
    """A range of versions of a service, and the versions of PostgreSQL that it works with."""

    kind: str
    version: Range
    postgresql: Range
    see: str


class Rules(_Rule):
    """All that is known about versions."""

    jumps: tuple[Jump, ...]
    requirements: tuple[Requirement, ...]


@cache
def rules() -> Rules:
    """The rules of this version of the program."""
    return Rules.model_validate(YAML(typ="safe").load(RULES.read_text(encoding="utf-8")))


def refused(declaration: Declaration, previous: object) -> Iterator[Problem]:
    """What speaks against going from what runs now to what is declared.

    Args:
        declaration: a checked one.
        previous: the stack's last inventory as it was exported; anything else counts as a first deployment.
    """
    for service in resolve(declaration):
        yield from _requirements(service)
        yield from _jumps(service, _before(previous, service.name))


def _jumps(service: ResolvedService, before: Mapping[object, object]) -> Iterator[Problem]:
    path = ("services", service.name)
    if before.get("kind") == service.declared.kind:
        yield from _forbidden(
            service.declared.kind,
            _version(before.get("version")),
            _of_image(service.declared.image),
            (*path, "image"),
        )
    database = before.get("database")
    if isinstance(database, Mapping) and service.database is not None:
        own = service.declared.database is not None and service.declared.database.image is not None
        yield from _forbidden(
            POSTGRESQL,
            _version(database.get("major")),
            Version(str(service.database.major)),
            (*path, "database", "image") if own else ("database", "image"),
            of=f" of {service.name}",
        )


def _forbidden(
    kind: str, before: Version | None, after: Version | None, path: tuple[str, ...], of: str = ""
) -> Iterator[Problem]:
    if before is None or after is None:
        return
    for jump in rules().jumps:
        if jump.kind == kind and jump.forbids(before, after):
            yield Problem(
                path=path,
                problem=f"{kind}{of} must not go from {before} to {after}: {jump.because}",
                remedy=f"{jump.instead}; see {jump.see}",
            )


def _requirements(service: ResolvedService) -> Iterator[Problem]:
    version, database = _of_image(service.declared.image), service.database
    if version is None or database is None:
        return
    for rule in rules().requirements:
        wrong = Version(str(database.major)) not in rule.postgresql
        if rule.kind == service.declared.kind and version in rule.version and wrong:
            yield Problem(
                path=("services", service.name, "image"),
                problem=f"{rule.kind} {version} does not work with PostgreSQL {database.major}",
                remedy=f"use PostgreSQL {rule.postgresql}; see {rule.see}",
            )
            return


def _before(previous: object, name: str) -> Mapping[object, object]:
    services = previous.get("services") if isinstance(previous, Mapping) else None
    before = services.get(name) if isinstance(services, Mapping) else None
    return before if isinstance(before, Mapping) else {}


def _version(value: object) -> Version | None:
    """A version as it was exported; the engine hands numbers back as floats."""
    text = str(int(value)) if isinstance(value, float) else str(value)
    numbers = ImageReference("", text, None).numbers
    return Version(".".join(map(str, numbers))) if numbers else None


def _of_image(image: ImageReference) -> Version | None:
    return _version(image.version)
