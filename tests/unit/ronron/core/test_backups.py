"""Documents about backups that cross versions: their keys and words stay readable."""

from __future__ import annotations

import json

from ronron.core.backups import BackupSummary, ConditionKind, DrillResult, Restored
from ronron.testing import NOON

RECORDED_AT_273DCC0 = """{
  "service": "pad", "newest": null, "taken": null, "drilled": null, "drill_passed": null,
  "conditions": [
    {"service": "pad", "kind": "agent silent", "message": "no answer", "hint": "docker logs pad-backup"},
    {"service": "pad", "kind": "backup overdue", "message": "none", "hint": "take one"}
  ],
  "looked_at": "2026-11-25T12:00:00Z"
}"""


def test_a_summary_of_an_earlier_release_is_read() -> None:
    summary = BackupSummary.model_validate_json(RECORDED_AT_273DCC0)
    assert [one.kind for one in summary.conditions] == [
        ConditionKind.AGENT_UNREACHABLE,
        ConditionKind.OVERDUE,
    ]
    assert json.loads(summary.model_dump_json())["conditions"][0]["kind"] == "agent unreachable"


def test_a_restore_keeps_its_keys_in_json() -> None:
    restored = Restored(
        service="pad", snapshot="5" * 64, safety_snapshot="7" * 64, counts={"pads": 12},
        expected={"pads": 12}, healthy=None, detail="12 pads",
    )  # fmt: skip
    document = restored.with_(healthy=True).model_dump(mode="json")
    assert (document["kept"], document["promised"], document["healthy"]) == ("7" * 64, {"pads": 12}, True)
    assert {"safety_snapshot", "expected"}.isdisjoint(document)
    assert Restored.model_validate(document) == restored.with_(healthy=True)


def test_a_drill_keeps_its_keys_in_json() -> None:
    result = DrillResult(
        service="pad", snapshot="5" * 64, started=NOON, finished=NOON, passed=True, detail="12 pads",
        expected={"pads": 12},
    )  # fmt: skip
    document = result.model_dump(mode="json")
    assert document["promised"] == {"pads": 12}
    assert "expected" not in document
    assert DrillResult.model_validate(document) == result
