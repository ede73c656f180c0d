"""Pins the images of stack files: writes the digest behind each tag."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from ronron.commands.tree_files import BOM, WorkingTree, read_text, write_text
from ronron.core.errors import ImageRegistryError
from ronron.core.images import ImageReference, read_image
from ronron.policy.yaml_edit import Scalar, YamlDocument
from ronron.policy.yaml_text import Path, spelled
from ronron.ports import ImageRegistry

KEY = "image"
"""The key of every image of a declaration."""
NOT_OURS = "environment"
"""Below this key stand variables of a service's own."""


class Action(StrEnum):
    """What was done with an image, or would be with `--check`."""

    PINNED = "pinned"
    UNCHANGED = "unchanged"
    MOVED = "moved"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class Pin:
    """One image of a stack file.

    Attributes:
        environment: whose stack file it is.
        file: path of the stack file.
        line: counted from 1.
        key: as a person writes it, such as `ronron:services.pad.image`.
        image: as it is written now.
        pinned: with its digest; the same as `image` where nothing changes.
        action: what was done.
        why: why it was skipped, or failed; empty otherwise.
        hint: how to fix a failure.
    """

    environment: str
    file: str
    line: int
    key: str
    image: str
    pinned: str
    action: Action
    why: str = ""
    hint: str = ""

    @property
    def changes(self) -> bool:
        """Whether the stack file changes."""
        return self.action in {Action.PINNED, Action.MOVED}


def is_local(stack: str) -> bool:
    """Whether a stack is for a person's own machine, where images need no digest: `local`, `local-...`.

    The program has the same rule.
    """
    return stack == "local" or stack.startswith("local-")


def pin(
    tree: WorkingTree,
    environments: Iterable[str],
    registry: ImageRegistry,
    *,
    update: bool = False,
    write: bool = True,
    asking: Callable[[str], object] = lambda _image: None,
) -> Iterator[Pin]:
    """Pin the images of some environments; each stack file is written once, when all its images are known.

    An image whose registry fails stays as it is, and the others are pinned all the same.

    Args:
        tree: the working tree.
        environments: names of environments of its policy.
        registry: is asked once for each image.
        update: also ask for images that have a digest, and write the one that their tag has now.
        write: False to change nothing.
        asking: is called with each image before its registry is asked.

    Raises:
        ConfigError: a stack file cannot be read or written.
    """
    answers: dict[str, str | ImageRegistryError] = {}

    def digest(image: ImageReference) -> str:
        name = f"{image.repository}:{image.tag}"
        if name not in answers:
            asking(name)
            try:
                answers[name] = registry.digest(image)
            except ImageRegistryError as error:
                answers[name] = error
        found = answers[name]
        if isinstance(found, ImageRegistryError):
            raise found
        return found

    for file, names in _files(tree, environments).items():
        text = read_text(tree.top, file)
        bare = text.removeprefix(BOM)
        document = YamlDocument(bare, file=file)
        found = [
            _pin(names[0], file, scalar, image, digest, update=update) for scalar, image in images(document)
        ]
        changes = {path: each.pinned for path, each in found if each.changes}
        if changes and write:
            write_text(tree.top, file, text, text[: len(text) - len(bare)] + document.with_scalars(changes))
        yield from (each for _, each in found)


def images(document: YamlDocument) -> Iterator[tuple[Scalar, ImageReference]]:
    """The images of a stack file, in the order of the text."""
    for scalar in document.scalars():
        path = scalar.path
        if path[:1] == ("config",) and path[-1] == KEY and NOT_OURS not in path[:-1]:
            image = read_image(scalar.value)
            if image is not None and image.tag is not None:
                yield scalar, image


def _files(tree: WorkingTree, environments: Iterable[str]) -> dict[str, list[str]]:
    files: dict[str, list[str]] = {}
    for name in environments:
        files.setdefault(tree.stack_file(name), []).append(name)
    return files


def _pin(
    environment: str,
    file: str,
    scalar: Scalar,
    image: ImageReference,
    digest: Callable[[ImageReference], str],
    *,
    update: bool,
) -> tuple[Path, Pin]:
    def made(action: Action, pinned: str = scalar.value, why: str = "", hint: str = "") -> tuple[Path, Pin]:
        key = spelled(scalar.path[1:])
        return scalar.path, Pin(environment, file, scalar.line, key, scalar.value, pinned, action, why, hint)

    if image.is_built_here:
        return made(Action.SKIPPED, why="it is built on the machine that runs it")
    if image.digest is not None and not update:
        return made(Action.UNCHANGED)
    try:
        found = digest(image)
    except ImageRegistryError as error:
        return made(Action.FAILED, why=error.message, hint=error.hint)
    if found == image.digest:
        return made(Action.UNCHANGED)
    return made(Action.PINNED if image.digest is None else Action.MOVED, str(image.pinned(found)))
