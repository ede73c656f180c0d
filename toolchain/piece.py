"""One piece of the toolchain, as the report shows it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Where = Literal["machine", "download", "built"]


class Piece(BaseModel):
    """One piece: whether it is installed, which version, from where, and the remedy if it is missing."""

    model_config = ConfigDict(frozen=True)

    name: str
    ok: bool
    """Whether Ronron can work with it as it is."""
    version: str | None = None
    origin: Where | None = None
    """None where it is missing or nothing of ours (a registry)."""
    path: str | None = None
    """File, folder or address; None where it is missing."""
    remedy: str | None = None
    """A command or an edit, lower case, without a full stop; None where nothing has to be done."""
