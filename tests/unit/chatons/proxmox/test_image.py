"""The image of a machine: the name of its file, and the options of its download."""

from __future__ import annotations

import dataclasses

import pulumi_proxmoxve as proxmox
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatons.proxmox.image import MachineImage, downloaded
from tests.support.programs import Registered, registered

DEBIAN = MachineImage(
    scope="ronron-staging",
    node="alice",
    datastore="local",
    url="https://cloud.debian.org/images/cloud/trixie/20251117-2299/debian-13-genericcloud-amd64.qcow2",
    checksum="sha512:" + "8e" * 64,
)


def file(image: MachineImage = DEBIAN) -> Registered:
    def make() -> None:
        downloaded(image, proxmox.Provider("proxmox", endpoint="https://alice.test.example:8006/"))

    (found,) = registered(make).of("proxmoxve:download/file:File")
    return found


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "https://cloud.debian.org/images/cloud/trixie/20251118-0000/debian-13-genericcloud-amd64.qcow2"),
        ("checksum", "sha512:" + "8f" * 64),
        ("node", "bob"),
        ("scope", "ronron-production"),
    ],
)  # fmt: skip
def test_two_images_have_different_files(field: str, value: str) -> None:
    assert dataclasses.replace(DEBIAN, **{field: value}).file_name != DEBIAN.file_name


def test_the_file_name_contains_stack_and_image() -> None:
    assert DEBIAN.file_name == f"ronron-staging-debian-13-genericcloud-amd64-{DEBIAN.digits}.qcow2"


@pytest.mark.parametrize(
    ("last", "kind"),
    [("noble-server-cloudimg-amd64.img", "qcow2"), ("debian-13.raw", "raw"), ("debian-13.qcow2", "qcow2")],
)
def test_the_file_has_an_extension_that_the_node_imports(last: str, kind: str) -> None:
    assert dataclasses.replace(DEBIAN, url=f"https://images.test.example/{last}").file_name.endswith(
        f".{kind}"
    )


@given(
    st.text(
        alphabet=st.characters(min_codepoint=33, exclude_categories=["Cs"], exclude_characters="?#/\\"),
        max_size=300,
    )
)
def test_every_address_gives_a_valid_file_name(last: str) -> None:
    name = dataclasses.replace(DEBIAN, url=f"https://images.test.example/a/{last}").file_name
    assert len(name) < 255
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def test_the_node_verifies_the_image_and_can_import_it() -> None:
    inputs = file().inputs
    assert inputs["contentType"] == "import"
    assert (inputs["checksumAlgorithm"], inputs["checksum"]) == ("sha512", "8e" * 64)


def test_an_image_is_not_downloaded_again_when_its_publisher_changes_it() -> None:
    assert file().inputs["overwrite"] is False


def test_a_file_of_an_interrupted_download_is_downloaded_again() -> None:
    assert file().inputs["overwriteUnmanaged"] is True


def test_another_image_is_another_resource() -> None:
    other = dataclasses.replace(DEBIAN, checksum="sha512:" + "8f" * 64)
    assert file(other).urn != file().urn
