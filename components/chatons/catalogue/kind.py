"""What a module of the catalogue has to say about its kind of service."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar, get_args

from chatons.catalogue.description import Context, Description
from chatons.catalogue.versions import Jump, Requirement
from chatons.schema.models import Service
from chatons.schema.problems import Problem

S = TypeVar("S", bound=Service)


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[S]):
    """One kind of service; a module of the catalogue defines it as `KIND`.

    Attributes:
        model: the keys of the service; its `kind` is a Literal with the name of the kind, its docstring is
            shown in the reference and by editors.
        describe: how to run a declared service.
        image: the image of a new service of this kind, without a digest: the newest version that its module
            was written for; None where there is no such image.
        secrets: what each secret is for, by role, besides the password of the database. The key of a secret
            is `ronron:<service>-<role>`.
        problems: rules about more than one key of the service; paths start below the service.
        warnings: what a person should know at each update, from the name of the service and its keys; one
            line each, lower case.
        jumps: changes of the version that must be refused.
        requirements: versions of PostgreSQL that versions of the service need.
    """

    model: type[S]
    describe: Callable[[S, Context], Description]
    image: str | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)
    problems: Callable[[S], Iterable[Problem]] = lambda _service: ()
    warnings: Callable[[str, S], Iterable[str]] = lambda _name, _service: ()
    jumps: tuple[Jump, ...] = ()
    requirements: tuple[Requirement, ...] = ()

    @property
    def name(self) -> str:
        """The value of the key `kind`."""
        (name,) = get_args(self.model.model_fields["kind"].annotation)
        return str(name)
