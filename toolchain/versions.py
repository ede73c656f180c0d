"""The versions that this project is built and tested with, and where each number comes from."""

from __future__ import annotations

import re

ENGINE = "3.274.1"
"""The Pulumi engine that is downloaded or built (newest release at the time of writing)."""

ENGINE_MINIMUM = "3.272.0"
"""The oldest engine on the machine that is taken as it is: not older than the SDK that talks to it
(`pulumi` in requirements.lock). The major version has to be the same."""

LANGUAGE_HOST = "3.68.0"
"""The Python language host that is built where no download answers: the last version of the Go module
`github.com/pulumi/pulumi/sdk/v3` that holds it. It works with the engine above: preview, up, hooks."""

DOCKER_PLUGIN = "5.2.0"
"""The Docker plugin that the SDK asks for (`pulumi-plugin.json` of `pulumi-docker` in requirements.lock)."""

PROXMOXVE_PLUGIN = "8.6.0"
"""The Proxmox VE plugin that the SDK asks for (`pulumi-plugin.json` of `pulumi-proxmoxve`, as above)."""

PROXMOX_PROVIDER = "0.111.1"
"""The Terraform provider that the plugin is built on where no download answers; the official plugin 8.3.0
is built on it, too. Of the arguments that the SDK 8.6.0 knows, it lacks `excludes` of a backup job."""

S3_GATEWAY = "1.8.0"
"""An S3 server that tests put snapshots into; go.mod of `toolchain/go/s3_gateway` names the same."""

GO_MINIMUM = "1.26.6"
"""What the engine's own go.mod asks for."""

GO_FETCHES_NEWER = "1.21.0"
"""Since this version `go` fetches a newer toolchain where GOTOOLCHAIN allows it (go.dev/doc/toolchain)."""


def parsed(version: str) -> tuple[int, ...]:
    """The numbers of a version, for comparison: `v3.274.1-alpha` gives (3, 274, 1).

    Raises:
        ValueError: there is no number at the beginning.
    """
    found = re.match(r"v?(\d+(?:\.\d+)*)", version.strip())
    if found is None:
        raise ValueError(f"cannot read {version!r} as a version")
    return tuple(int(number) for number in found[1].split("."))


def is_good_engine(version: str) -> bool:
    """Whether an engine found on the machine is taken as it is."""
    numbers, minimum = parsed(version), parsed(ENGINE_MINIMUM)
    return numbers[0] == minimum[0] and numbers >= minimum
