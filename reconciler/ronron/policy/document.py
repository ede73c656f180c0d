"""What may stand in `environments.yaml`, as pydantic models; also the JSON Schema that editors use.

These are shapes and words only. What several environments say together is checked in `policies.py`.
`python -m ronron.policy.document` prints the schema.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import time, timedelta
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.config import JsonDict

from ronron.core.policy import DriftPolicy, OnDrift, OnFailure, Policy, Promotion, Retry, UpdateMode
from ronron.policy.notations import (
    CLOCK,
    DAY_RANGE,
    DURATION,
    ENVIRONMENT,
    MIDNIGHT,
    STACK,
    NotationError,
    read_choice,
    read_clock,
    read_days,
    read_directory,
    read_duration,
    read_reference,
    read_timezone,
)

DEFAULT_REFERENCE = "HEAD"
"""The repository's default branch."""

NOT_YET = {
    "signatures": "unsigned commits would be accepted",
}
"""Keys of an environment that this version knows and does not implement, and the effect of ignoring them.

They are refused: a declared control without an effect is worse than none.
"""

Choice = TypeVar("Choice", bound=StrEnum)


def _one_of(choices: type[Choice]) -> Callable[[object], Choice]:
    return lambda value: choices(read_choice(value, choices))


def _default(text: str | None = None) -> Callable[[JsonDict], None]:
    """Show a default in the schema as a person would write it; None where an absent key has its own meaning.

    `null` is no value of the document (a key without a value is refused), so the schema does not have it.
    """

    def show(schema: JsonDict) -> None:
        schema.pop("default", None)
        shapes = schema.pop("anyOf", [])
        for shape in shapes if isinstance(shapes, list) else []:
            if isinstance(shape, dict) and shape.get("type") != "null":
                schema.update(shape)
        if text is not None:
            schema["default"] = text

    return show


def _closing(value: object) -> str:
    # It stays text: 24:00 and 00:00 are the same time of day, and only one of them ends this day.
    read_clock(value, end=True)
    return str(value)


_DURATION = WithJsonSchema(
    {"type": "string", "pattern": DURATION, "examples": ["30s", "30m", "1h30m", "2d"]}, mode="validation"
)
_SECOND = timedelta(seconds=1)

Duration = Annotated[timedelta, BeforeValidator(read_duration), _DURATION]
Pause = Annotated[timedelta, BeforeValidator(partial(read_duration, shortest=_SECOND)), _DURATION]
ProbeTime = Annotated[
    timedelta,
    BeforeValidator(partial(read_duration, shortest=_SECOND, longest=timedelta(hours=1))),
    _DURATION,
]
ProbeInterval = Annotated[
    timedelta,
    BeforeValidator(partial(read_duration, shortest=timedelta(seconds=10), longest=timedelta(days=1))),
    _DURATION,
]
DriftInterval = Annotated[
    timedelta,
    BeforeValidator(partial(read_duration, shortest=timedelta(seconds=30), longest=timedelta(days=7))),
    _DURATION,
]
Days = Annotated[
    frozenset[int],
    BeforeValidator(read_days),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "daily"},
                {"type": "string", "pattern": DAY_RANGE},
                {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": DAY_RANGE}},
            ],
            "examples": ["mon-thu", "daily"],
        }
    ),
]
Opening = Annotated[
    time,
    BeforeValidator(read_clock),
    WithJsonSchema({"type": "string", "pattern": CLOCK, "examples": ["18:00"]}),
]
Closing = Annotated[
    str,
    BeforeValidator(_closing),
    WithJsonSchema({"type": "string", "pattern": f"{CLOCK}|^{MIDNIGHT}$", "examples": ["23:00"]}),
]
Timezone = Annotated[
    str,
    BeforeValidator(read_timezone),
    WithJsonSchema({"type": "string", "examples": ["Europe/Paris", "UTC"]}),
]
Reference = Annotated[
    str,
    BeforeValidator(read_reference),
    WithJsonSchema({"type": "string", "minLength": 1, "examples": ["main", "refs/tags/v*"]}),
]
Directory = Annotated[
    str, BeforeValidator(read_directory), WithJsonSchema({"type": "string", "minLength": 1})
]
EnvironmentName = Annotated[str, Field(pattern=ENVIRONMENT, examples=["staging"])]
StackName = Annotated[str, Field(pattern=STACK, examples=["staging"])]


class Entry(BaseModel):
    """A mapping of the document: refuses unknown keys and converts no types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class PromotionEntry(Entry):
    """Promotion: update only to commits that other environments have run healthily for some time."""

    environments: Annotated[list[EnvironmentName], Field(min_length=1)] = Field(
        description="Environments that must run a commit healthily before this one is updated to it.",
        examples=[["staging"]],
    )
    healthy_for: Duration = Field(
        default=Promotion.model_fields["healthy_for"].default,
        alias="for",
        description="How long each environment under `environments` must have run the commit healthily.",
        json_schema_extra=_default("0s"),
    )


class WindowEntry(Entry):
    """Maintenance window: Ronron updates the environment only in it; other updates wait for its opening."""

    days: Days = Field(
        description="Days on which the window opens: a day, a range, a list of days and ranges, or `daily`."
    )
    opens: Opening = Field(alias="from", description="Time of day at which the window opens.")
    closes: Closing = Field(
        alias="to",
        description="Time of day at which the window closes; a time before `from` is on the next day.",
    )
    timezone: Timezone = Field(description="Time zone of the window's days and times, by its IANA name.")

    @property
    def closing_time(self) -> time:
        """`closes` as a time of day; midnight at the end of the day is 00:00."""
        return read_clock(self.closes, end=True)

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        if self.closing_time == self.opens and self.closes != MIDNIGHT:
            raise NotationError(
                f"cannot use a window from {self.closes} to {self.closes}: it may be always open or never",
                f"write two different times, or 00:00 to {MIDNIGHT} for whole days, or remove `window`",
            )
        return self


class GuardEntry(Entry):
    """Limits above which an update needs an approval. Losing data or a machine always needs one."""

    deletes: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="How many resources an update may delete without an approval; no limit by default.",
        json_schema_extra=_default(),
    )
    replaces: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="How many resources an update may replace without an approval; no limit by default.",
        json_schema_extra=_default(),
    )


class RetryEntry(Entry):
    """How Ronron retries a failed update."""

    after: Pause = Field(
        default=Retry.model_fields["after"].default,
        description="Back-off after the first failure; each further failure triples it.",
        json_schema_extra=_default("30s"),
    )
    ceiling: Pause = Field(
        default=Retry.model_fields["ceiling"].default,
        description="The longest back-off between two tries.",
        json_schema_extra=_default("1h"),
    )
    limit: int = Field(
        default=Retry.model_fields["limit"].default,
        ge=1,
        le=100,
        description="Failures in a row after which Ronron waits for a new commit or a request.",
    )

    @model_validator(mode="after")
    def _ceiling_above(self) -> Self:
        if self.ceiling < self.after:
            raise NotationError(
                "cannot wait longer after the first failure than the ceiling allows",
                "write a `ceiling` that is at least as long as `after`",
            )
        return self


class DriftEntry(Entry):
    """How Ronron looks for containers that differ from what an update made, and what it does then."""

    every: DriftInterval = Field(
        default=DriftPolicy.model_fields["every"].default,
        description="How often the settings of all containers are compared; `30s` to `7d`.",
        json_schema_extra=_default("10m"),
    )
    on_drift: Annotated[OnDrift, BeforeValidator(_one_of(OnDrift))] = Field(
        default=DriftPolicy.model_fields["on_drift"].default,
        description="`update` puts containers back, `propose` asks for approval first, `report` logs it.",
    )


class EnvironmentEntry(Entry):
    """An environment: one Pulumi stack, the reference that it follows, and when it may change."""

    stack: StackName | None = Field(
        default=None,
        description="Name of the Pulumi stack; the environment's own name by default.",
        json_schema_extra=_default(),
    )
    reference: Reference = Field(
        default=DEFAULT_REFERENCE,
        description="Branch or tag pattern that the environment follows; `HEAD` is the default branch.",
    )
    update: Annotated[UpdateMode, BeforeValidator(_one_of(UpdateMode))] = Field(
        default=Policy.model_fields["update"].default,
        description="`automatic`: within the limits of `guard`; `approval`: a person approves each plan.",
    )
    after: PromotionEntry | None = Field(default=None, json_schema_extra=_default())
    window: WindowEntry | None = Field(default=None, json_schema_extra=_default())
    guard: GuardEntry | None = Field(default=None, json_schema_extra=_default())
    on_failure: Annotated[OnFailure, BeforeValidator(_one_of(OnFailure))] = Field(
        default=Policy.model_fields["on_failure"].default,
        description="After a failed update: `rollback` to the last healthy commit; `restore` restores the"
        " snapshots taken before the update as well; `hold` leaves it as it is.",
    )
    retry: RetryEntry | None = Field(default=None, json_schema_extra=_default())
    probe_for: ProbeTime = Field(
        default=Policy.model_fields["probe_for"].default,
        description="How long a service may take to become healthy after an update.",
        json_schema_extra=_default("60s"),
    )
    probe_every: ProbeInterval = Field(
        default=Policy.model_fields["probe_every"].default,
        description="How often the watcher probes each service between passes; `10s` to `1d`.",
        json_schema_extra=_default("1m"),
    )
    drift: DriftEntry | None = Field(default=None, json_schema_extra=_default())
    create_stack: bool = Field(
        default=Policy.model_fields["create_stack"].default,
        description="Create the stack where the backend has none; without it, a missing stack is an error.",
    )


class PolicyDocument(Entry):
    """The environments of a repository: the stack and the reference of each, and when it may change."""

    project: Directory = Field(
        default=".", description="Directory of the Pulumi project, relative to the top of the repository."
    )
    environments: dict[EnvironmentName, EnvironmentEntry] = Field(
        min_length=1,
        description="The environments, by name.",
        examples=[{"staging": {"reference": "main"}}],
        json_schema_extra={"additionalProperties": False},
    )


def schema() -> dict[str, Any]:
    """The JSON Schema of the document, for editors; docs/schemas/environments.schema.json is this."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **PolicyDocument.model_json_schema(),
        "title": "Ronron environments",
    }


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))
