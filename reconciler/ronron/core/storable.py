"""What may be kept of a value: the same value without secrets, and with no text that floods a page. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from ronron.core.model import Value
from ronron.core.redact import redact_document

LONGEST = 8000
"""Characters of one text: a screen or two of an engine's own errors."""

V = TypeVar("V", bound=Value)


def as_kept(value: V, secrets: Iterable[str] = ()) -> V:
    """The value as a store keeps it; every text in it has gone through `redact` and `shorten`.

    The queries of URLs stay in an inventory: it is public by its contract, and its probes are asked
    again as they stand there.

    Args:
        value: a record, a pass, or what they are made of.
        secrets: values that are known to be secret.
    """
    known = tuple(secrets)
    document = value.model_dump(mode="json")
    inventory = document.pop("inventory", None)
    clean = redact_document(document, known, limit=LONGEST)
    if inventory is not None and isinstance(clean, dict):
        clean["inventory"] = redact_document(inventory, known, limit=LONGEST, queries=True)
    return type(value).model_validate(clean)
