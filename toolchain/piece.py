"""What is known of one piece of the toolchain."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Where = Literal["machine", "download", "built"]


class Piece(BaseModel):
    """One piece: is it there, which one, where from, and what to do if it is missing."""

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
    """One imperative sentence; None where nothing has to be done."""
