"""What every noun is made of: frozen values, times with a zone, full commit hashes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        msg = "a time needs a zone"
        raise ValueError(msg)
    return value


Instant = Annotated[datetime, AfterValidator(_utc)]
"""A point in time with a zone; everything that we make is in UTC."""

Commit = Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]
"""A full commit hash, SHA-1 or SHA-256."""


class Value(BaseModel):
    """A frozen value that refuses unknown fields; `with_` gives a changed copy.

    Stores hold documents of earlier releases, so a field that is renamed or removed is still read:
    `former_names` maps the former key to the field's name now, or to None where nothing reads it any more.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    former_names: ClassVar[Mapping[str, str | None]] = {}

    @model_validator(mode="before")
    @classmethod
    def _read_former_names(cls, document: Any) -> Any:
        if not isinstance(document, Mapping) or cls.former_names.keys().isdisjoint(document):
            return document
        read = {key: value for key, value in document.items() if key not in cls.former_names}
        for former, name in cls.former_names.items():
            if name is not None and former in document:
                read.setdefault(name, document[former])
        return read

    def with_(self, **changes: object) -> Self:
        """The same value with some fields changed, validated again."""
        return type(self).model_validate({**dict(self), **changes})
