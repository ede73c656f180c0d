"""The shape of version rules: jumps that are refused, and versions that do not work together."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version
from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator


def _range(value: object) -> SpecifierSet:
    try:
        return SpecifierSet(str(value))
    except InvalidSpecifier as error:
        raise ValueError(f"{value!r} is not a range of versions") from error


Range = Annotated[SpecifierSet, BeforeValidator(_range)]
"""A range as Python packages write it, such as `>=11,<=11.7.2`. Versions are those of image tags, without
prefix and suffix."""


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Jump(_Rule):
    """A version jump that is refused: from one range to another, or every change of one sort.

    Attributes:
        before: range of the running version; with `after`.
        after: range of the declared version.
        change: instead of both ranges: every downgrade, or every change of the major version.
        because: completes "... must not go from 1 to 2: ...".
        instead: what to do; an imperative sentence.
        see: URL of the source.
    """

    before: Range | None = None
    after: Range | None = None
    change: Literal["downgrade", "major"] | None = None
    because: str
    instead: str
    see: str

    @model_validator(mode="after")
    def _one_sort(self) -> Self:
        if (self.before is None) != (self.after is None) or (self.before is None) == (self.change is None):
            raise ValueError("a jump has `before` and `after`, or `change`")
        return self

    def forbids(self, running: Version, declared: Version) -> bool:
        """Whether the jump from the running to the declared version is refused."""
        if self.change == "downgrade":
            return declared < running
        if self.change == "major":
            return declared.major != running.major
        return (
            self.before is not None
            and self.after is not None
            and running in self.before
            and declared in self.after
        )


class Requirement(_Rule):
    """Versions of a service, and the versions of PostgreSQL that they work with.

    Attributes:
        version: range of the service's version.
        postgresql: range of PostgreSQL's major version.
        see: URL of the source.
    """

    version: Range
    postgresql: Range
    see: str
