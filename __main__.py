"""What this project is to Pulumi: a declaration, its resources, and the inventory."""

from __future__ import annotations

import sys
from pathlib import Path

# The components of this checkout, never an installed copy of another revision.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from chatons.main import main

main()
