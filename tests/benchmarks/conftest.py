from __future__ import annotations

from tests.end_to_end.conftest import collective, found, images, sealed

__all__ = ["collective", "found", "images", "sealed"]
