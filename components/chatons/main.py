"""The whole program: a stack's declaration, its resources, and its inventory.

A collective's `__main__.py` is `from chatons.main import main` and `main()`.
"""

from __future__ import annotations

import pulumi

from chatons import __version__, collective, program
from chatons.inventory import inventory


def main() -> None:
    """Make what the running stack declares; export its inventory, and the release of `chatons` that ran.

    Problems of the declaration are logged, and end the process before any resource is made.
    """
    with program.plain_refusals():
        configuration = program.configuration()
        declaration = program.declaration(configuration)
        host_keys = collective.make(declaration, program.secret, configuration.secrets)
        pulumi.export("inventory", inventory(declaration, host_keys))
        pulumi.export("release", __version__)
