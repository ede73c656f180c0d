"""The API of Proxmox VE, asked over a network that answers as it is told."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from chatons.proxmox.api import ENDPOINT, TOKEN, ProxmoxApi, ProxmoxError

SECRET = "7a3d4ab6-1f0e-4d8f-9d0a-6f6f3a1c1c11"
GIVEN = f"ronron@pve!ronron={SECRET}"
Handler = Callable[[httpx.Request], httpx.Response]


def api(handler: Handler) -> ProxmoxApi:
    return ProxmoxApi("https://pve.test.example:8006/", GIVEN, transport=httpx.MockTransport(handler))


def refusal(answer: httpx.Response) -> ProxmoxError:
    with api(lambda _: answer) as asked, pytest.raises(ProxmoxError) as caught:
        asked.get("/cluster/status")
    assert SECRET not in f"{caught.value} {caught.value!r}"
    return caught.value


def answer(status: int, reason: str, **document: object) -> httpx.Response:
    extensions = {"reason_phrase": reason.encode()}
    return httpx.Response(status, json={"data": None, **document}, extensions=extensions)


def test_a_question_goes_to_the_api_with_the_token() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"data": [1]})

    with api(handler) as asked:
        assert asked.get("/cluster/resources", type="vm") == [1]
        asked.put("/nodes/alice/qemu/101/config", protection=0)
        asked.post("/cluster/backup", **{"prune-backups": "keep-daily=7"})
        asked.delete("/cluster/backup/a")
    assert str(seen[0].url) == "https://pve.test.example:8006/api2/json/cluster/resources?type=vm"
    assert seen[0].headers["authorization"] == f"PVEAPIToken={GIVEN}"
    assert [request.method for request in seen] == ["GET", "PUT", "POST", "DELETE"]
    assert seen[2].content == b"prune-backups=keep-daily%3D7"


@pytest.mark.parametrize(
    ("status", "reason", "problem", "remedy"),
    [
        (401, "invalid token value!", "is refused: invalid token value!", "pveum user token add ronron@pve"),
        (401, "no such token 'ronron' for user 'ronron@pve'", "is not known", "token add ronron@pve ronron"),
        (401, "no such user ('ronron@pve')", "is not known", "token add ronron@pve ronron"),
        (401, "token expired", "has expired", "token modify ronron@pve ronron --expire 0"),
        (401, "user account expired", "is of an account that has", "pveum user modify ronron@pve --expire 0"),
        (401, "user 'ronron@pve' is disabled", "a user who is disabled", "modify ronron@pve --enable 1"),
        (
            403,
            "Permission check failed (/, Sys.Audit)",
            "the token may not: Permission",
            "docs/operations.md",
        ),
    ],
)
def test_a_token_that_is_refused_comes_with_the_command_that_mends_it(
    status: int, reason: str, problem: str, remedy: str
) -> None:
    error = refusal(answer(status, reason))
    assert error.path == TOKEN
    assert problem in error.problem
    assert remedy in error.remedy


@pytest.mark.parametrize(
    ("status", "reason", "problem"),
    [
        (595, "No route to host", "a node of the cluster is not reached: No route to host"),
        (500, "cluster not ready - no quorum?", "the cluster changes nothing: cluster not ready"),
        (
            500,
            "storage 'x' does not exist",
            "the cluster refuses /cluster/status: storage 'x' does not exist",
        ),
    ],
)
def test_what_the_cluster_says_is_told_in_its_words(status: int, reason: str, problem: str) -> None:
    error = refusal(answer(status, reason))
    assert error.path == ENDPOINT
    assert error.problem.startswith(problem)
    assert error.remedy


def test_parameters_that_are_refused_are_named() -> None:
    error = refusal(answer(400, "Parameter verification failed.", errors={"vmid": "VM 101 already exists"}))
    assert "vmid: VM 101 already exists" in error.problem
    assert error.status == 400


def test_the_secret_of_the_token_is_never_told() -> None:
    assert "***" in refusal(answer(500, f"cannot use {SECRET}")).problem


def test_an_answer_without_end_is_given_up() -> None:
    error = refusal(httpx.Response(200, content=iter([b"x" * 65_536] * 400)))
    assert "is larger than 8 MiB" in error.problem


def test_nothing_follows_to_another_host() -> None:
    error = refusal(httpx.Response(302, headers={"location": "https://elsewhere.test.example/"}))
    assert "no Proxmox VE answers" in error.problem
