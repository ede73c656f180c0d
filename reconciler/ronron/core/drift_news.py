"""What is reported of drift: what began or ended between two looks, and what a person does about it. Pure."""

from __future__ import annotations

from ronron.core.drift import Drift, DriftKind
from ronron.core.drift_record import DriftRecord


def news(before: DriftRecord, after: DriftRecord, environment: str, *, puts_back: bool) -> tuple[str, ...]:
    """Lines for what began or ended between two looks: each is reported once.

    Args:
        before: the record of the earlier look.
        after: that of the later one.
        environment: its name, for hints.
        puts_back: the policy has drift put back.
    """
    lines: list[str] = []
    old, new = {one.key: one for one in before.open}, {one.key: one for one in after.open}
    for key, drift in new.items():
        if key not in old or old[key].signature != drift.signature:
            lines.append(f"drift: {drift.sentence}")
            lines += [f"hint: {hint}"] if (hint := hint_for(drift, environment, puts_back=puts_back)) else []
    there = {one.key for one in after.made}
    lines += [f"recovered: {key} is as it was made" for key in old if key not in new and key in there]
    lines += [
        f"unreachable: {name}: {one.why}; nothing is known of its containers"
        for name, one in after.unknown.items()
        if name not in before.unknown
    ]
    lines += [
        f"recovered: {name} is reachable, and its containers are known"
        for name in before.unknown
        if name not in after.unknown
    ]
    for key, why in after.stalled.items():
        if key not in before.stalled:
            lines += [
                f"stalled: {why}",
                f"hint: find out what changes it, then run ronron resume {environment}",
            ]
    return tuple(lines)


def hint_for(drift: Drift, environment: str, *, puts_back: bool) -> str:
    """What a person does about one drift; empty where Ronron puts it back."""
    if drift.kind is DriftKind.VOLUME_MISSING:
        again = f"ronron pulumi {environment} -- refresh, then ronron update {environment}"
        if not drift.service:
            return f"{drift.held}; run {again}"
        restore = f"ronron restore {environment} {drift.service}"
        return f"{drift.held}; run {again}, which holds {drift.service} back, then {restore}"
    if drift.own_volumes and drift.service and drift.kind is not DriftKind.EDITED:
        return f"{drift.held}; try ronron restart {environment} {drift.service}, and give that a volume"
    if drift.own_volumes:
        return f"{drift.held}; give that a volume in the declaration, after saving it"
    if drift.held:
        return f"{drift.held}; put it back with ronron update {environment}"
    return "" if puts_back else f"put it back with ronron update {environment}"
