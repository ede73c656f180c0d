from __future__ import annotations

from tests.backup_targets import agent_image, here, postgres_image
from tests.end_to_end.conftest import collective, found, images, sealed

__all__ = ["agent_image", "collective", "found", "here", "images", "postgres_image", "sealed"]
