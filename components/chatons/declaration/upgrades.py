"""Which version jumps are refused, and why. The catalogue knows them, kind by kind."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from packaging.version import Version

from chatons import catalogue
from chatons.catalogue import postgresql
from chatons.catalogue.versions import Jump
from chatons.declaration.resolved import Declaration, ResolvedService, resolve
from chatons.schema.image_reference import ImageReference
from chatons.schema.problems import Problem


def refused(
    declaration: Declaration, previous: object, going_back: Collection[str] = ()
) -> Iterator[Problem]:
    """The version changes that are refused, from what runs now to what is declared.

    Args:
        declaration: a checked one.
        previous: the last exported inventory of the stack; anything else counts as a first deployment.
        going_back: names of services that go back from a revision that failed, and that have a snapshot from
            before it: an earlier version of them is permitted.
    """
    for service in resolve(declaration):
        yield from _requirements(service)
        yield from _jumps(service, _before(previous, service.name), back=service.name in going_back)


def _jumps(service: ResolvedService, before: Mapping[object, object], *, back: bool) -> Iterator[Problem]:
    path = ("services", service.name)
    earlier = back and _is_earlier(service, before)
    if before.get("kind") == service.declared.kind and not earlier:
        yield from _forbidden(
            service.declared.kind,
            catalogue.kind_of(service.declared).jumps,
            _version(before.get("version")),
            _of_image(service.declared.image),
            (*path, "image"),
        )
    database = before.get("database")
    if isinstance(database, Mapping) and service.database is not None:
        own = service.declared.database is not None and service.declared.database.image is not None
        yield from _forbidden(
            postgresql.NAME,
            postgresql.JUMPS,
            _version(database.get("major")),
            Version(str(service.database.major)),
            (*path, "database", "image") if own else ("database", "image"),
            of=f" of {service.name}",
        )


def _is_earlier(service: ResolvedService, before: Mapping[object, object]) -> bool:
    running, declared = _version(before.get("version")), _of_image(service.declared.image)
    return running is not None and declared is not None and declared < running


def _forbidden(
    kind: str,
    jumps: Iterable[Jump],
    before: Version | None,
    after: Version | None,
    path: tuple[str, ...],
    of: str = "",
) -> Iterator[Problem]:
    if before is None or after is None:
        return
    for jump in jumps:
        if jump.forbids(before, after):
            yield Problem(
                path=path,
                problem=f"{kind}{of} must not go from {before} to {after}: {jump.because}",
                remedy=f"{jump.instead}; see {jump.see}",
            )


def _requirements(service: ResolvedService) -> Iterator[Problem]:
    version, database = _of_image(service.declared.image), service.database
    if version is None or database is None:
        return
    kind = catalogue.kind_of(service.declared)
    for rule in kind.requirements:
        if version in rule.version and Version(str(database.major)) not in rule.postgresql:
            yield Problem(
                path=("services", service.name, "image"),
                problem=f"{kind.name} {version} does not work with PostgreSQL {database.major}",
                remedy=f"use PostgreSQL {rule.postgresql}; see {rule.see}",
            )
            return


def _before(previous: object, name: str) -> Mapping[object, object]:
    services = previous.get("services") if isinstance(previous, Mapping) else None
    before = services.get(name) if isinstance(services, Mapping) else None
    return before if isinstance(before, Mapping) else {}


def _version(value: object) -> Version | None:
    """A version as it was exported; the engine hands numbers back as floats."""
    text = str(int(value)) if isinstance(value, float) else str(value)
    numbers = ImageReference("", text, None).numbers
    return Version(".".join(map(str, numbers))) if numbers else None


def _of_image(image: ImageReference) -> Version | None:
    return _version(image.version)
