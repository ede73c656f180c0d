"""The disk image of a machine, which the node downloads and verifies."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import pulumi
from pulumi_proxmoxve import download

_IMPORTED = ("qcow2", "raw", "vmdk")
"""File extensions that Proxmox VE imports. Source: PVE::Storage, IMPORT_EXT_RE_1, since 8.4."""
_DEFAULT_FORMAT = "qcow2"
"""The format of a file `.img` from a distribution."""

_DIGITS = 12
_STEM = 60
"""Longest part of the original name, so that scope and digits still fit into 255 bytes."""

_DOWNLOAD_SECONDS = 1800
"""The provider's default of 600 s is too short for a slow line: 400 MiB in 1800 s is 2 Mbit/s."""


@dataclass(frozen=True, kw_only=True)
class MachineImage:
    """One file on one storage of one node.

    Attributes:
        scope: `<project>-<stack>`, the prefix of the file name. Stacks on one storage must not share a file:
            one stack would delete the file of the other.
        node: the node that downloads it.
        datastore: the storage for it; its content types include `import`.
        url: a dated address, whose content never changes.
        checksum: `algorithm:hex`.
    """

    scope: str
    node: str
    datastore: str
    url: str
    checksum: str

    @property
    def digits(self) -> str:
        """A hash of node, address and checksum. The node is part of it, as nodes may share a storage."""
        whole = "\n".join((self.node, self.url, self.checksum))
        return hashlib.sha256(whole.encode()).hexdigest()[:_DIGITS]

    @property
    def file_name(self) -> str:
        """The name on the storage: unique for each image, and stable while the image is declared."""
        last = urlsplit(self.url).path.rsplit("/", 1)[-1]
        stem, _, kind = last.rpartition(".")
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", stem or last)[:_STEM].strip(".-") or "image"
        return f"{self.scope}-{stem}-{self.digits}.{kind if kind in _IMPORTED else _DEFAULT_FORMAT}"

    @property
    def resource_name(self) -> str:
        """The logical name: another image is another resource, so that an edit replaces nothing."""
        return f"image-{self.node}-{self.datastore}-{self.digits}"


def downloaded(image: MachineImage, provider: pulumi.ProviderResource) -> download.File:
    """Let the node download an image, unless the storage has it.

    Its content type is `import`, not `iso`: another image then does not replace the machine (`importFrom` is
    no reason for a replacement, `fileId` is), and the import needs no ssh to the node. With `overwrite`, the
    node would download the image again whenever its publisher changes its size. With `overwrite_unmanaged`,
    it downloads a file again that an interrupted update left and that is in no state.
    """
    algorithm, _, digest = image.checksum.partition(":")
    return download.File(
        image.resource_name,
        content_type="import",
        node_name=image.node,
        datastore_id=image.datastore,
        url=image.url,
        file_name=image.file_name,
        checksum=digest,
        checksum_algorithm=algorithm,
        overwrite=False,
        overwrite_unmanaged=True,
        upload_timeout=_DOWNLOAD_SECONDS,
        opts=pulumi.ResourceOptions(provider=provider),
    )
