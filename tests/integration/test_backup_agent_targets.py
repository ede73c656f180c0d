"""The backup agent's repositories on real servers: sshd, restic's REST protocol, and S3."""

from __future__ import annotations

from tests.support.backup_servers import (
    rest_server,
    s3_server,
    ssh_server,
)
from tests.support.backup_targets import (
    Served,
    begun,
    does,
    packed,
    processes,
    refuses,
    running,
    served,
)
from tests.support.containers import Containers, runs, said, until


def with_sftp(pad: Served, here: Containers, image: str) -> Served:
    server = ssh_server(here, image, pad.network)
    name = str(server.container.name)
    pad.document["repository"] = f"sftp:keeper@{name}:/home/keeper/ronron-test/pad"
    pad.document["ssh"] = {"user": "keeper", "host": name, "port": 22, "host_key": server.host_key}
    pad.secrets["ssh-key"] = server.key
    pad.start()
    return pad


def test_a_repository_on_sftp_is_created_used_and_restored_from(
    here: Containers, agent_image: str, server_image: str
) -> None:
    pad = with_sftp(served(here, agent_image, None), here, server_image)
    pad.in_volume("var", "printf 123 > file")
    taken = does(pad.agent, "backup", "--reason", "asked")["snapshot"]
    assert does(pad.agent, "list") == {"snapshots": [taken]}
    assert does(pad.agent, "check") == {"checked": "1/10"}
    assert does(pad.agent, "prune") == {"removed": []}
    pad.in_volume("var", "printf other > file")
    assert does(pad.restorer(), "restore", "--snapshot", taken["id"], "--files") == {"files": 1, "bytes": 3}
    assert pad.in_volume("var", "cat file") == "123"
    status = does(pad.agent, "status")
    assert (status["reachable"], status["locks"]) == (True, [])
    # Its neighbour is a folder beside it.
    assert runs(pad.agent, "sh", "-c", "tar c /etc/hostname | ronron-agent backup-bundle ronron.tar")[0] == 0


def test_an_unknown_host_key_is_refused(here: Containers, agent_image: str, server_image: str) -> None:
    pad = with_sftp(served(here, agent_image, None), here, server_image)
    kind, key = pad.document["ssh"]["host_key"].split()
    pad.document["ssh"]["host_key"] = f"{kind} {key[:-4]}AAAA"
    pad.start()
    assert refuses(pad.agent, "backup", "--reason", "asked")["code"] == "unreachable"
    assert does(pad.agent, "status")["trouble"]["code"] == "unreachable"


def test_the_login_of_a_rest_server_is_in_no_output(
    here: Containers, agent_image: str, server_image: str
) -> None:
    pad = served(here, agent_image, None, secrets_given={"repository-login": "agent:pass/word"})
    server = rest_server(here, server_image, pad.network)
    pad.document["repository"] = f"rest:http://{server.name}:8080/ronron-test/pad/"
    pad.start()
    pad.in_volume("var", "head -c 20000000 /dev/urandom > file")
    ended = begun(pad.agent, "backup", "--reason", "asked")
    running(pad.agent, "restic", "backup")
    seen = processes(pad.agent)
    code, document = ended()
    assert code == 0, document
    assert does(pad.agent, "list") == {"snapshots": [document["snapshot"]]}
    assert not [line for line in seen.values() if "pass/word" in line or "pass%2Fword" in line]
    pad.secrets["repository-login"] = "agent:wrong/word"
    pad.start()
    error = refuses(pad.agent, "backup", "--reason", "asked")
    assert error["code"] == "unreachable"
    assert "wrong" not in error["message"]
    server.stop(timeout=1)
    assert refuses(pad.agent, "backup", "--reason", "asked")["code"] == "unreachable"
    status = does(pad.agent, "status")
    assert status["trouble"]["code"] == "unreachable"
    assert [one["id"] for one in status["snapshots"]] == [document["snapshot"]["id"]]
    assert "wrong/word" not in said(pad.agent)


def test_a_repository_in_a_bucket_is_created_used_and_restored_from(
    here: Containers, agent_image: str, server_image: str
) -> None:
    pad = served(here, agent_image, None, secrets_given={"repository-login": "keyid:secret/key"})
    server = s3_server(here, server_image, pad.network)
    pad.document["repository"] = f"s3:http://{server.name}:7070/backups/ronron-test/pad"
    pad.start()
    pad.in_volume("var", "printf 123 > file")
    taken = does(pad.agent, "backup", "--reason", "asked")["snapshot"]
    assert does(pad.agent, "list") == {"snapshots": [taken]}
    assert does(pad.agent, "check") == {"checked": "1/10"}
    pad.in_volume("var", "printf other > file")
    assert does(pad.restorer(), "restore", "--snapshot", taken["id"], "--files") == {"files": 1, "bytes": 3}
    assert pad.in_volume("var", "cat file") == "123"
    pad.secrets["repository-login"] = "keyid:wrong/key"
    pad.start()
    error = refuses(pad.agent, "backup", "--reason", "asked")
    assert error["code"] == "unreachable"
    assert "wrong/key" not in str(error)


def test_an_append_only_repository_gets_no_forget(
    here: Containers, agent_image: str, server_image: str
) -> None:
    pad = served(here, agent_image, None, secrets_given={"repository-login": "agent:pass/word"}, forget=False)
    server = rest_server(here, server_image, pad.network, "--append-only")
    pad.document["repository"] = f"rest:http://{server.name}:8080/ronron-test/pad/"
    pad.start()
    first = does(pad.agent, "backup", "--reason", "schedule")["snapshot"]
    second = does(pad.agent, "backup", "--reason", "schedule")["snapshot"]
    assert does(pad.agent, "prune") == {"removed": []}
    assert does(pad.agent, "list") == {"snapshots": [second, first]}
    assert does(pad.agent, "check") == {"checked": "1/10"}
    status = does(pad.agent, "status")
    assert (status["forget"], status["locks"], status["next"]["prune"]) == (False, [], None)


def test_the_schedule_outlives_the_container_and_makes_up_for_a_missed_backup(
    here: Containers, agent_image: str
) -> None:
    pad = served(here, agent_image, None)
    until(lambda: "serving:" in said(pad.agent), pad.agent)
    assert runs(pad.agent, "ronron-agent", "health")[0] == 0
    until(lambda: all(does(pad.agent, "status")["next"].values()), pad.agent)
    before = does(pad.agent, "status")
    pad.agent.stop(timeout=10)
    pad.agent.reload()
    assert pad.agent.attrs["State"]["ExitCode"] == 0
    pad.start()
    until(lambda: "serving:" in said(pad.agent), pad.agent)
    after = does(pad.agent, "status")
    assert after["next"] == before["next"]
    assert after["since"] == before["since"]
    assert after["snapshots"] == []
    # Another schedule takes its place, the others stay.
    pad.document["schedule"] = "0 4 1 1 *"
    pad.start()
    until(lambda: "serving:" in said(pad.agent), pad.agent)
    assert does(pad.agent, "status")["next"]["prune"] == before["next"]["prune"]
    # As if the machine had been off when its time came.
    pad.miss_a_backup()
    pad.start()
    until(lambda: len(does(pad.agent, "list")["snapshots"]) == 1, pad.agent)
    assert does(pad.agent, "list")["snapshots"][0]["reason"] == "schedule"
    until(lambda: does(pad.agent, "status")["next"]["backup"] > "2027", pad.agent)


def test_a_clone_does_not_serve(here: Containers, agent_image: str) -> None:
    pad = served(here, agent_image, None)
    restorer = pad.restorer()
    assert restorer.put_archive("/etc", packed({"nothing": b""}))
    assert runs(restorer, "ronron-agent", "health")[0] == 1
