"""Runs a program in a container and removes it, with the unnamed volumes of its image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import docker
from docker.errors import ContainerError

SECONDS = 120


def run(engine: docker.DockerClient, image: str, entrypoint: Sequence[str], **options: Any) -> None:
    """Run a program to its end, without a network, as root.

    Args:
        engine: where it runs.
        image: what it runs in; its own entrypoint and command are left out.
        entrypoint: the program and its arguments.
        options: further ones of docker-py, such as `mounts`.

    Raises:
        ContainerError: it ended with another code than 0; has its output.
    """
    # docker-py's own `run(remove=True)` keeps unnamed volumes, and the edge's image has two.
    made = engine.containers.create(
        image, entrypoint=list(entrypoint), command=[], user="0:0", network_mode="none", **options
    )
    try:
        made.start()
        code = int(made.wait(timeout=SECONDS)["StatusCode"])
        if code != 0:
            raise ContainerError(made, code, list(entrypoint), image, made.logs().decode(errors="replace"))
    finally:
        made.remove(force=True, v=True)
