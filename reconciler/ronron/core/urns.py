"""What a URN of Pulumi says: `urn:pulumi:<stack>::<project>::<types>::<name>`, the types joined by `$`.

Source: https://www.pulumi.com/docs/iac/concepts/resources/names/#urns
"""

from __future__ import annotations


def name_of(urn: str) -> str:
    """The resource's logical name."""
    return urn.rpartition("::")[2]


def types_of(urn: str) -> str:
    """The types of its components and its own, outermost first, joined by `$`; empty for no URN."""
    parts = urn.split("::")
    return parts[2] if len(parts) >= 4 else ""


def type_of(urn: str) -> str:
    """The resource's own type token, such as `docker:index/container:Container`."""
    return types_of(urn).rpartition("$")[2]


def provider_name(reference: str) -> str:
    """The logical name of a provider, from the reference in a state: its URN, `::` and its ID."""
    return name_of(reference.rpartition("::")[0])
