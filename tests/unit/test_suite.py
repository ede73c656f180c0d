"""What the suite promises about itself: `make check` covers every contract, and proofs of recipes expire."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.recipe_proofs import ASKED, Proof, is_needed

CONTRACTS = Path(__file__).parents[1] / "contract"
ON_THE_ENGINE = {"test_proxmox_provider_contract.py", "test_proxmox_faults_contract.py"}
"""Contracts of a provider: nothing of it can run without the engine."""


@pytest.mark.parametrize(
    "suite", sorted({path.name for path in CONTRACTS.glob("test_*_contract.py")} - ON_THE_ENGINE)
)
def test_every_contract_has_a_fake_that_make_check_runs(suite: str) -> None:
    text = (CONTRACTS / suite).read_text()
    assert 'params=["fake"' in text or "pytestmark = pytest.mark.check" in text


PROOF = {"images": ["hash id"], "test": "test_it_listens[0:0]", "source": b"assert True"}


def proof(folder: Path, **changes: object) -> Proof:
    return Proof(folder=folder, **{**PROOF, **changes})  # type: ignore[arg-type]


def test_a_proof_is_good_for_the_same_test_of_the_same_image(tmp_path: Path) -> None:
    assert is_needed(proof(tmp_path), {})
    proof(tmp_path).write()
    assert not is_needed(proof(tmp_path), {})
    assert [path.name for path in tmp_path.iterdir()] == [proof(tmp_path).file.name]


@pytest.mark.parametrize(
    "changes",
    [{"images": ["hash other"]}, {"images": ["other id"]}, {"test": "test_it_listens[1:1]"}, {"source": b""}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_proof_expires_with_recipe_image_and_test(tmp_path: Path, changes: dict[str, object]) -> None:
    proof(tmp_path).write()
    assert is_needed(proof(tmp_path, **changes), {})


def test_every_recipe_can_be_asked_for(tmp_path: Path) -> None:
    proof(tmp_path).write()
    assert is_needed(proof(tmp_path), {ASKED: "all"})
