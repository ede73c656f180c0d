"""What every noun is made of: frozen values, times with a zone, full commit hashes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


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
    """A frozen value that refuses unknown fields; `with_` gives a changed copy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def with_(self, **changes: object) -> Self:
        """The same value with some fields changed, validated again."""
        return type(self).model_validate({**dict(self), **changes})
