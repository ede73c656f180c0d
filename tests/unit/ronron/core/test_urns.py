"""What a URN says, and what is read from one that is none."""

from __future__ import annotations

import pytest

from ronron.core import urns

PAD = "urn:pulumi:ours::infrastructure::chatons:index:Service$docker:index/container:Container::pad"
PROVIDER = "urn:pulumi:ours::infrastructure::pulumi:providers:docker::host01"


def test_a_urn_has_a_name_and_types() -> None:
    assert urns.name_of(PAD) == "pad"
    assert urns.types_of(PAD) == "chatons:index:Service$docker:index/container:Container"
    assert urns.type_of(PAD) == "docker:index/container:Container"
    assert urns.type_of(PROVIDER) == "pulumi:providers:docker"


def test_the_reference_to_a_provider_has_its_name() -> None:
    assert urns.provider_name(f"{PROVIDER}::04da6b54-80e4-46f7-96ec-b56ff0331ba9") == "host01"


@pytest.mark.parametrize("text", ["", "unknown", "a::b::c"])
def test_what_is_no_urn_has_no_type(text: str) -> None:
    assert urns.type_of(text) == ""
    assert urns.provider_name("") == ""
