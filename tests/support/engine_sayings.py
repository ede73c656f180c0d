"""What the engine was heard to say when it failed, and what a tired person should read instead.

All of it was recorded from Pulumi 3.274.1, its Python language host 3.68.0 and the Docker plugin 5.2.0, with
other names of machines and directories.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ronron.adapters.pulumi_engine.events import Diagnostic, EventLog
from ronron.adapters.pulumi_engine.finished import Finished
from ronron.core.errors import (
    EngineError,
    EngineInterruptedError,
    EngineMissingError,
    EngineTimeoutError,
    PassphraseError,
    PlanViolatedError,
    ProgramError,
    StackLockedError,
    StackNotFoundError,
    UpdateFailedError,
)
from ronron.core.model import Change, Operation

DOCKER = "urn:pulumi:dev::tiny::docker:index/volume:Volume::v"
IMAGE = "urn:pulumi:dev::tiny::docker:index/remoteImage:RemoteImage::i"
CONTAINER = "urn:pulumi:dev::tiny::docker:index/container:Container::c"
KEEP = "urn:pulumi:dev::tiny::chatons:index:Service$docker:index/volume:Volume::pad-data"
STACK = "urn:pulumi:dev::tiny::pulumi:pulumi:Stack::tiny-dev"
BRIDGE = "  sdk-v2/provider2.go:572: sdk.helper_schema: "
STOPPED = (
    Diagnostic("error", "update failed\n"),
    Diagnostic("error", "Resource monitor has terminated, shutting down\n"),
)


def finished(
    stderr: str = "",
    *,
    command: str = "up",
    code: int | None = 1,
    stdout: str = "",
    timed_out: bool = False,
    interrupted: bool = False,
) -> Finished:
    return Finished(
        command=command,
        code=code,
        stdout=stdout,
        stderr=stderr,
        timed_out=timed_out,
        interrupted=interrupted,
        log=Path("/var/lib/ronron/work/7/03-up"),
    )


def failed(urn: str, *messages: str, operation: Operation = Operation.CREATE) -> EventLog:
    """A resource whose provider said that, and what the engine says after it."""
    return EventLog(
        failed=(Change(urn=urn, operation=operation),),
        diagnostics=(*(Diagnostic("error", message, urn) for message in messages), *STOPPED),
        ended=True,
        result="failed",
    )


def said(*messages: str, urn: str = "", severity: str = "error") -> EventLog:
    return EventLog(diagnostics=tuple(Diagnostic(severity, message, urn) for message in messages))


def bridged(cause: str) -> tuple[str, str]:
    """A cause as the bridge of Terraform providers tells it: twice, with its own place and as a list."""
    return f"{BRIDGE}{cause}: provider=docker@5.2.0\n", f"1 error occurred:\n\t* {cause}\n\n\n"


@dataclass(frozen=True)
class Row:
    """What was heard, and what becomes of it: class, words of the message, the command in the hint."""

    name: str
    heard: Finished
    error: type[EngineError]
    message: str
    hint: str
    log: EventLog = field(default_factory=EventLog)
    retryable: bool = False
    where: str = "stack dev"


SSH = (
    "failed to create Docker client: Error pinging Docker server, please make sure that "
    "ssh://tech@old01:22 is reachable and has a  '_ping' endpoint. Error: error during connect: Head "
    '"http://docker.example.com/_ping": command [ssh -l tech -p 22 -o ConnectTimeout=30 -T -- old01 '
    "docker system dial-stdio] has exited with exit status 255, make sure the URL is valid, and Docker "
    "18.09 or later is installed on the remote host: stderr="
)
TCP = (
    "failed to create Docker client: Error pinging Docker server, please make sure that "
    "tcp://192.0.2.11:2375 is reachable and has a  '_ping' endpoint. Error: Cannot connect to the Docker "
    "daemon at tcp://192.0.2.11:2375. Is the docker daemon running?"
)
PULL = (
    "Unable to read Docker image into resource: unable to pull image etherpad/etherpad:9.9: error pulling "
    "image "
    'etherpad/etherpad:9.9: Error response from daemon: Get "https://registry.example/v2/": dial tcp: '
    "lookup "
    "registry.example on 192.0.2.53:53: no such host"
)
DENIED = (
    "Unable to create container with image padd:1: unable to pull image padd:1: error pulling image "
    "padd:1: Error response from daemon: pull access denied for padd, repository does not exist or may "
    "require 'docker login'"
)
TAKEN = (
    "Unable to start container: Error response from daemon: driver failed programming external "
    "connectivity on endpoint pad: Bind for 0.0.0.0:443 failed: port is already allocated"
)
LOCKED = (
    "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or "
    "delete the lock file with `pulumi cancel`.\n  "
    "file:///var/lib/state/.pulumi/locks/organization/tiny/dev/5140f21c.json?no_tmp_dir=true: created by "
    "tech@pica01 (pid 7173) at 2026-11-25T09:38:39Z\n"
)
MANAGER = (
    "error: getting stack configuration: get stack secrets manager: constructing secrets manager of type "
    '"passphrase": '
)
PROTECTED_DELETE = (
    f'Preview failed: resource "{KEEP}" cannot be deleted\nbecause it is protected. To unprotect the '
    "resource, either "
    "remove the `protect` flag from the resource in your Pulumi program and run `pulumi up`, or use the "
    "command:\n"
    f"`pulumi state unprotect '{KEEP}'`\n"
)
PROTECTED_REPLACE = (
    f'unable to replace resource "{KEEP}"\nas it is currently marked for protection. To unprotect the '
    "resource, "
    "remove the `protect` flag from the resource in your Pulumi program and run `pulumi up`\n"
)
RAISED = (
    "Program failed with an unhandled exception:\nTraceback (most recent call last):\n"
    '  File "/var/checkouts/4f/__main__.py", line 8, in <module>\n'
    '    raise ValueError("services.pad: nothing of the kind")\n'
    "ValueError: services.pad: nothing of the kind\n\n"
)
UNPROTECT = f"ronron pulumi dev -- state unprotect '{KEEP}'"
PLAIN = "pulumi-python:dynamic:Resource"
PLACE = f"urn:pulumi:dev::tiny::{PLAIN}::"
VIOLATES = (
    f"resource urn:pulumi:dev::tiny::{PLAIN}::shelf violates plan: properties changed: "
    f"~~colour[{{blue}}!={{green}}]\n"
)

ROWS = (
    # -- providers ---------------------------------------------------------------------------------
    Row(
        "docker that does not answer", finished(), UpdateFailedError,
        "cannot create volume v: failed to create Docker client",
        "ronron doctor dev", failed(DOCKER, *bridged(TCP)), retryable=True,
    ),
    Row(
        "docker over ssh that does not answer", finished(), UpdateFailedError,
        "stderr=ssh: connect to host old01 port 22: Connection refused", "ronron doctor dev",
        failed(DOCKER, *bridged(f"{SSH}ssh: connect to host old01 port 22: Connection refused\r\n")),
        retryable=True,
    ),
    Row(
        "ssh that refuses us", finished(), UpdateFailedError, "Permission denied (publickey)",
        "ronron doctor dev",
        failed(DOCKER, *bridged(f"{SSH}tech@old01: Permission denied (publickey).\r\n")),
    ),
    Row(
        "an unknown host key", finished(), UpdateFailedError, "Host key verification failed",
        "ronron doctor dev",
        failed(DOCKER, *bridged(f"{SSH}Host key verification failed.\r\n")),
    ),
    Row(
        "an image from a registry that is not there", finished(), UpdateFailedError,
        "cannot create image i: Unable to read Docker image",
        "of etherpad/etherpad:9.9: `ronron pin dev`", failed(IMAGE, *bridged(PULL)), retryable=True,
    ),
    Row(
        "an image that nobody has", finished(), UpdateFailedError, "pull access denied for padd",
        "of padd:1: `ronron pin dev`", failed(CONTAINER, *bridged(DENIED)), retryable=True,
    ),
    Row(
        "a port that is taken", finished(), UpdateFailedError, "port is already allocated", "`ss -ltnp`",
        failed(CONTAINER, *bridged(TAKEN)),
    ),
    Row(
        "a disk that is full", finished(), UpdateFailedError, "no space left on device",
        "`docker system df`",
        failed(IMAGE, *bridged("write /var/lib/docker/tmp/x: no space left on device")), retryable=True,
    ),
    Row(
        "something nobody knows", finished(), UpdateFailedError,
        "cannot update container c: odd", "`ronron update dev`",
        failed(CONTAINER, "odd\n", operation=Operation.UPDATE),
    ),
    Row(
        "a resource that fails in a preview", finished(command="preview"), EngineError,
        "cannot create container c: odd", "`ronron update dev`",
        failed(CONTAINER, "odd\n"),
    ),
    # -- protection --------------------------------------------------------------------------------
    Row(
        "a protected resource that would go", finished(command="preview"), EngineError,
        "cannot delete volume pad-data: it is protected", UNPROTECT,
        said(PROTECTED_DELETE, urn=KEEP),
    ),
    Row(
        "a protected resource that would be replaced", finished(command="preview"), EngineError,
        "cannot replace volume pad-data: it is protected", UNPROTECT,
        said(PROTECTED_REPLACE, urn=KEEP),
    ),
    # -- other owners, other plans -----------------------------------------------------------------
    Row(
        "a stack that is locked", finished(LOCKED), StackLockedError,
        "locked by tech@pica01 (process 7173) since 2026-11-25T09:38:39Z", "ronron pulumi dev -- cancel",
        retryable=True,
    ),
    Row(
        "a stack that is locked in Pulumi's service",
        finished("error: [409] Conflict: Another update is currently in progress.\n"), StackLockedError,
        "locked by another process", "ronron pulumi dev -- cancel", retryable=True,
    ),
    Row(
        "a plan that is violated", finished(), PlanViolatedError,
        "would violate the plan at resource shelf", "`ronron update dev`",
        said(VIOLATES, urn=f"urn:pulumi:dev::tiny::{PLAIN}::shelf"), retryable=True,
    ),
    Row(
        "a step that no plan holds", finished(), PlanViolatedError, "at resource lamp",
        "`ronron update dev`",
        said(
            "create is not allowed by the plan: no steps were expected for this resource\n",
            urn=f"{PLACE}lamp",
        ),
        retryable=True,
    ),
    Row(
        "a step that never came", finished(), PlanViolatedError, "at resource sofa", "`ronron update dev`",
        said(f"expected resource operations for {PLACE}sofa but none were seen\n", urn=f"{PLACE}sofa"),
        retryable=True,
    ),
    Row(
        "a stop that somebody else asked for", finished(), EngineInterruptedError,
        "pulumi up was canceled by another process", "`ronron update dev`",
        EventLog(ended=True, result="canceled"),
    ),
    Row(
        "a stop that we asked for", finished(interrupted=True), EngineInterruptedError,
        "was interrupted", "`ronron update dev`",
    ),
    Row(
        "a deadline", finished(timed_out=True), EngineTimeoutError,
        "pulumi up timed out and was stopped", "export RONRON_UPDATE_DEADLINE=", retryable=True,
    ),
    Row(
        "a preview's deadline", finished(command="preview", timed_out=True), EngineTimeoutError,
        "pulumi preview timed out and was stopped", "export RONRON_PREVIEW_DEADLINE=", retryable=True,
    ),
    Row(
        "a death", finished(code=-9), EngineError, "pulumi up was killed by signal 9",
        "less /var/lib/ronron/work/7/03-up.err", retryable=True,
    ),
    # -- secrets -----------------------------------------------------------------------------------
    Row(
        "a wrong passphrase", finished(f"{MANAGER}incorrect passphrase\n", command="preview"),
        PassphraseError, "cannot open the stack's secrets: wrong passphrase",
        "export PULUMI_CONFIG_PASSPHRASE_FILE=",
    ),
    Row(
        "no passphrase",
        finished(
            f"{MANAGER}passphrase must be set with PULUMI_CONFIG_PASSPHRASE or "
            "PULUMI_CONFIG_PASSPHRASE_FILE\n",
        ),
        PassphraseError, "cannot open the stack's secrets: no passphrase is set",
        "export PULUMI_CONFIG_PASSPHRASE_FILE=",
    ),
    Row(
        "a secret that is none", finished("error: validating stack config: bad value\n", command="preview"),
        ProgramError, "cannot read the values of the stack file: validating stack config: bad value",
        "ronron pulumi dev -- config set KEY",
    ),
    # -- the backend -------------------------------------------------------------------------------
    Row(
        "no such stack", finished("error: no stack named 'dev' found\n", code=6), StackNotFoundError,
        "cannot find the stack in the backend", "`ronron pulumi dev -- stack ls`",
    ),
    Row(
        "a backend that does not answer",
        finished(
            'SDK 2026/11/25 09:34:23 WARN falling back to IMDSv1: operation error\nerror: read '
            '".pulumi/meta.yaml": blob (key ".pulumi/meta.yaml") (code=Unknown): operation error S3: '
            'GetObject, no route\n',
        ),
        EngineError, 'cannot reach the backend of the state: read ".pulumi/meta.yaml"',
        "`ronron pulumi dev -- stack ls`",
        retryable=True,
    ),
    Row(
        "a database that does not answer",
        finished(
            'error: unable to open state database "postgres://u:[credential]@db:9/db": failed to ping '
            'PostgreSQL: dial '
            "tcp 192.0.2.5:9: connect: connection refused\n",
        ),
        EngineError, "cannot reach the backend of the state: unable to open state database",
        "`ronron pulumi dev -- stack ls`", retryable=True,
    ),
    Row(
        "no access to the service",
        finished("error: PULUMI_ACCESS_TOKEN must be set for login during non-interactive CLI sessions\n"),
        EngineError, "cannot open the backend of the state: PULUMI_ACCESS_TOKEN must be set",
        "export RONRON_PASS_ENVIRONMENT=PULUMI_ACCESS_TOKEN",
    ),
    Row(
        "a state that is broken",
        finished(
            "error: failed to load checkpoint: place 1: invalid character 'b' looking for beginning of "
            "object key\n",
        ),
        EngineError, "cannot read the stack's state: failed to load checkpoint",
        "ronron pulumi dev -- stack export",
    ),
    # -- the project -------------------------------------------------------------------------------
    Row(
        "a project file that is no YAML",
        finished(
            "error: could not unmarshal '/var/checkouts/4f/Pulumi.yaml': invalid YAML file: yaml: line "
            "1: odd\n",
        ),
        ProgramError, "cannot read the project: could not unmarshal 'Pulumi.yaml'", "`ronron validate`",
    ),
    Row(
        "a project without a name",
        finished(
            "error: could not validate '/var/checkouts/4f/Pulumi.yaml': project is missing a 'name' "
            "attribute\n",
        ),
        ProgramError, "could not validate 'Pulumi.yaml': project is missing a 'name' attribute",
        "`ronron validate`",
    ),
    Row(
        "no language host",
        finished(
            "error: failed to load language plugin cobol: no language plugin 'pulumi-language-cobol' "
            "found in the workspace or on your $PATH\n",
        ),
        EngineMissingError, "cannot find the engine's plugin cobol", "`ronron doctor`",
    ),
    Row(
        "no plugin", finished(), EngineMissingError,
        "cannot find the engine's plugin pulumi-resource-docker", "`ronron doctor`",
        said(
            "no resource plugin 'pulumi-resource-docker' found in the workspace or on your $PATH\n",
            urn="urn:pulumi:dev::tiny::pulumi:providers:docker::default",
        ),
    ),
    # -- the program -------------------------------------------------------------------------------
    Row(
        "a program that raises", finished(command="preview"), ProgramError,
        "ValueError: services.pad: nothing of the kind", "`ronron pulumi dev -- preview`", said(RAISED),
        where="__main__.py, line 8",
    ),
    Row(
        "a program that refuses", finished(command="preview"), ProgramError,
        "the stack file has three mistakes\n  one", "`ronron pulumi dev -- preview`",
        said(
            "the stack file has three mistakes\n  one\n",
            "an unhandled error occurred: program exited with non-zero exit code: 1\n",
        ),
    ),
    Row(
        "a secret that is missing", finished(command="preview"), ProgramError,
        "Missing required configuration variable 'tiny:password'", "`ronron pulumi dev -- preview`",
        said(
            "Missing required configuration variable 'tiny:password'\n\tplease set a value using the "
            "command `pulumi config set --secret tiny:password <value>`\n",
            urn=STACK,
        ),
    ),
    Row(
        "a program that dies without a word", finished(command="preview"), ProgramError,
        "the program ended without an error message", "`ronron pulumi dev -- preview`",
        said("an unhandled error occurred: program exited with non-zero exit code: 3\n"),
    ),
    Row(
        "a program that does not compile",
        finished(command="preview", stdout="index.ts(3,1): Unable to compile TypeScript\n", code=1),
        ProgramError, "pulumi preview ended with 1: index.ts(3,1): Unable to compile TypeScript", "less ",
    ),
    # -- the rest ----------------------------------------------------------------------------------
    Row(
        "words that nobody knows",
        finished("error: organization name must be 'organization'\n", command="preview"), EngineError,
        "pulumi preview ended with 1: organization name must be 'organization'",
        "less /var/lib/ronron/work/7/03-up.err",
    ),
    Row("silence", finished(code=255), EngineError, "pulumi up ended with 255: no output", "less "),
)  # fmt: skip
