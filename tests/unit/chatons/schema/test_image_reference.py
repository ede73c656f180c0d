"""References of images: read as Docker reads them, with a version that can be compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatons.schema.image_reference import ImageReference

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    ("text", "repository", "tag", "digest"),
    [
        ("postgres", "postgres", None, None),
        ("postgres:15.14", "postgres", "15.14", None),
        (f"postgres:15.14@{DIGEST}", "postgres", "15.14", DIGEST),
        (f"postgres@{DIGEST}", "postgres", None, DIGEST),
        ("etherpad/etherpad:3.3.1", "etherpad/etherpad", "3.3.1", None),
        ("registry.test.example/team/mattermost:v1", "registry.test.example/team/mattermost", "v1", None),
        ("registry.test.example:5000/x:1", "registry.test.example:5000/x", "1", None),
        ("localhost/x:1", "localhost/x", "1", None),
        ("localhost:5000/x:1", "localhost:5000/x", "1", None),
        ("registry:5000/x:1", "registry:5000/x", "1", None),
        ("a__b/c-d.e/f:1", "a__b/c-d.e/f", "1", None),
        ("x:1.8.14-npm", "x", "1.8.14-npm", None),
    ],
)
def test_a_reference_has_a_repository_a_tag_and_a_digest(
    text: str, repository: str, tag: str | None, digest: str | None
) -> None:
    assert ImageReference.parse(text) == ImageReference(repository, tag, digest)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "Postgres:15", "postgres:", "postgres:15@", "postgres:15@sha256:abc", "postgres:.1",
        "a//b:1", "/a:1", "a/:1", "-a:1", "a-:1", "a:1 ", "a:1\n", "https://x.example/a:1",
        "a:1@md5:" + "0" * 32,
        "a:" + "x" * 129, f"postgres:15@{DIGEST.upper()}", "a___b:1", "pâté:1", "a:1;rm", "$(id):1",
    ],
)  # fmt: skip
def test_anything_else_is_no_reference(text: str) -> None:
    with pytest.raises(ValueError, match="is not an image reference"):
        ImageReference.parse(text)


@pytest.mark.parametrize(
    ("tag", "version", "numbers"),
    [
        ("15.14", "15.14", (15, 14)),
        ("15.14-bookworm", "15.14", (15, 14)),
        ("1.8.14-npm", "1.8.14", (1, 8, 14)),
        ("v1.2.53", "1.2.53", (1, 2, 53)),
        ("release-11.7", "11.7", (11, 7)),
        ("18", "18", (18,)),
        ("stable", "stable", ()),
        ("vanilla", "vanilla", ()),
        ("2.10.2.3", "2.10.2.3", (2, 10, 2, 3)),
    ],
)
def test_a_tag_tells_a_version_without_prefix_and_suffix(
    tag: str, version: str, numbers: tuple[int, ...]
) -> None:
    reference = ImageReference("x", tag, None)
    assert (reference.version, reference.numbers) == (version, numbers)


def test_without_a_tag_there_is_no_version() -> None:
    assert ImageReference("x", None, DIGEST).version == ""
    assert ImageReference("x", None, DIGEST).numbers == ()


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("ronron-local/etherpad:1.8.14", True),
        ("ronron-localhost/etherpad:1", False),
        ("registry.test.example/ronron-local/etherpad:1", False),
        ("etherpad/etherpad:3.3.1", False),
    ],
)
def test_only_images_that_were_built_on_the_machine_are_local(text: str, local: bool) -> None:
    assert ImageReference.parse(text).is_local is local


part = st.from_regex(r"[a-z0-9]+(?:(?:[.]|_{1,2}|-+)[a-z0-9]+)*", fullmatch=True)
references = st.builds(
    ImageReference,
    st.lists(part, min_size=1, max_size=3).map("/".join),
    st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,40}", fullmatch=True),
    st.none() | st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True),
)


@given(references)
def test_what_is_written_is_read_back(reference: ImageReference) -> None:
    assert ImageReference.parse(str(reference)) == reference


@given(st.text(max_size=60))
def test_a_text_is_refused_or_kept_letter_by_letter(text: str) -> None:
    try:
        reference = ImageReference.parse(text)
    except ValueError:
        return
    assert str(reference) == text
