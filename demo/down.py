"""Removes what the demo made, and nothing else: what its own Pulumi state names, and its own directory."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import docker
from docker.errors import APIError, NotFound
from docker.types import Mount
from pulumi import automation

from demo import throw_away
from demo.places import MARK, STACK, Places
from demo.watcher import stop_left_over

KINDS = {
    "docker:index/container:Container": "container",
    "docker:index/network:Network": "network",
    "docker:index/volume:Volume": "volume",
}
ORDER = ("container", "network", "volume")
LEFT_BY = ("ronron.drill", "ronron.restore")
"""Labels of what a drill or a restore makes; the value is the name of the service's container."""


class NotOursError(Exception):
    """The demo did not make the directory, or something else uses what the demo made."""


def take_down(places: Places, note: Callable[[str], None]) -> None:
    """Stop the watcher; remove containers, networks, volumes and files. A second call removes nothing.

    Raises:
        NotOursError: the directory is not the demo's, or something else uses what the demo made.
    """
    if not places.root.exists():
        note("nothing to remove: there is no demo")
        return
    if not (places.root / MARK).exists():
        raise NotOursError(
            f"{places.root} was not made by the demo\nhint: remove it by hand if you no longer need it"
        )
    stop_left_over(places)
    things = made(places)
    things = [*left(things), *things]
    image = _image_of(things)
    for kind, name in things:
        if _remove(kind, name):
            note(f"removed {kind} {name}")
    _empty(places.snapshots, image)
    try:
        shutil.rmtree(places.root)
    except PermissionError as error:
        raise NotOursError(f"cannot remove {error.filename}\nhint: remove {places.root} as root") from error
    note(f"removed {places.root}")


def made(places: Places) -> list[tuple[str, str]]:
    """Kind and name of every container, network and volume of the demo's Pulumi state, in order of removal.

    Includes what a killed update had begun to create.
    """
    if not places.collective.exists():
        return []
    environment = {**places.pulumi_environment(), "PULUMI_CONFIG_PASSPHRASE_FILE": str(places.passphrase)}
    workspace = automation.LocalWorkspace(work_dir=str(places.collective), env_vars=environment)
    try:
        deployment = automation.Stack.select(STACK, workspace).export_stack().deployment or {}
    except automation.StackNotFoundError:
        return []
    pending = [operation["resource"] for operation in deployment.get("pending_operations", [])]
    return named([*deployment.get("resources", []), *pending])


def named(resources: list[Mapping[str, object]]) -> list[tuple[str, str]]:
    """Kind and name of the Docker things among the resources of a state, containers first."""
    found = {
        (KINDS[str(resource["type"])], str(inputs["name"]))
        for resource in resources
        if resource.get("type") in KINDS
        and isinstance(inputs := resource.get("inputs"), dict)
        and "name" in inputs
    }
    return sorted(found, key=lambda thing: (ORDER.index(thing[0]), thing[1]))


def left(things: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Kind and name of what a killed drill or restore left beside these, in order of removal."""
    found: list[tuple[str, str]] = []
    with closing(docker.from_env()) as engine:
        for label in (f"{word}={name}" for word in LEFT_BY for kind, name in things if kind == "container"):
            mine: dict[str, str | list[str] | bool] = {"label": label}
            found += [
                ("container", str(each.name))
                for each in engine.containers.list(all=True, ignore_removed=True, filters=mine)
            ]
            found += [("network", str(each.name)) for each in engine.networks.list(filters=mine)]
            found += [("volume", str(each.name)) for each in engine.volumes.list(filters=mine)]
    return sorted(found, key=lambda thing: ORDER.index(thing[0]))


def _image_of(things: list[tuple[str, str]]) -> str | None:
    """The image of one of the demo's containers; None where no container exists."""
    with closing(docker.from_env()) as engine:
        for kind, name in things:
            if kind == "container":
                try:
                    return str(engine.containers.get(name).attrs["Image"])
                except NotFound:
                    continue
    return None


def _empty(snapshots: Path, image: str | None) -> None:
    """Remove the snapshots, in a container: their files belong to root, as the agents run as root.

    Args:
        snapshots: the directory; it stays.
        image: of the container; None to leave the snapshots.
    """
    if image is None or not snapshots.exists():
        return
    with closing(docker.from_env()) as engine:
        throw_away.run(
            engine,
            image,
            ["find", "/snapshots", "-mindepth", "1", "-delete"],
            mounts=[Mount("/snapshots", str(snapshots), type="bind")],
        )


def _remove(kind: str, name: str) -> bool:
    with closing(docker.from_env()) as engine:
        try:
            match kind:
                case "container":
                    engine.containers.get(name).remove(force=True, v=True)
                case "network":
                    engine.networks.get(name).remove()
                case _:
                    engine.volumes.get(name).remove()
        except NotFound:
            return False
        except APIError as error:
            raise NotOursError(f"cannot remove {kind} {name}: {error.explanation}") from error
    return True
