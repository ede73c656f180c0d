"""What this project is to Pulumi: a declaration, its resources, and the inventory."""

from __future__ import annotations

import sys
from pathlib import Path

import pulumi

# The components of this checkout, never an installed copy of another revision.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from chatons import collective, program
from chatons.inventory import inventory

with program.plain_refusals():
    configuration = program.configuration()
    declaration = program.declaration(configuration)
    host_keys = collective.make(declaration, program.secret, configuration.secrets)
    pulumi.export("inventory", inventory(declaration, host_keys))
