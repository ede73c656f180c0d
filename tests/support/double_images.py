"""The images of the doubles below `tests/doubles`, built where they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from toolchain import docker_engine, image_build
from toolchain.cache import Cache, cache_root
from toolchain.image_recipes import DEBIAN, Recipe
from toolchain.images import ensure_debian

DOUBLES = Path(__file__).resolve().parents[1] / "doubles"
TAGS = {
    "mattermost": "ronron-local/mattermost-double:11.7.3",
    "kanboard": "ronron-local/kanboard-double:1.2.53",
}


def ensure_doubles() -> Mapping[str, str]:
    """Tags of the doubles by kind; an image that was made from other files than are here is not used."""
    ensure_debian()
    contract = (DOUBLES / "contract.py").read_bytes()
    found = docker_engine.find()
    assert isinstance(found, docker_engine.Answer), found
    cache = Cache(cache_root())
    with closing(docker_engine.client(found.host, timeout=600)) as api:
        for kind, tag in TAGS.items():
            recipe = Recipe(
                kind, tag, base=DEBIAN, contexts=DOUBLES, parameters=hashlib.sha256(contract).hexdigest()
            )
            with cache.lock(f"image-{kind}-double", progress=print):
                if not image_build.is_current(api, recipe):
                    more = {"contract.py": contract}
                    image_build.build(api, recipe, cache=cache, progress=print, more_files=more)
    return dict(TAGS)
