"""What is known about each kind of service: one module a kind, each a pure description."""

from __future__ import annotations

from typing import assert_never

from chatons.catalogue import container, etherpad, kanboard, mattermost
from chatons.catalogue.description import Description, Surroundings
from chatons.schema.models import (
    ContainerService,
    EtherpadService,
    KanboardService,
    MattermostService,
    Service,
)


def describe(service: Service, surroundings: Surroundings) -> Description:
    """How to run a service of any kind."""
    match service:
        case EtherpadService():
            return etherpad.describe(service, surroundings)
        case MattermostService():
            return mattermost.describe(service, surroundings)
        case KanboardService():
            return kanboard.describe(service, surroundings)
        case ContainerService():
            return container.describe(service, surroundings)
        case _:
            assert_never(service)
