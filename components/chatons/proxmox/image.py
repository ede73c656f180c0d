"""The disk image that machines start from, downloaded by the node itself and checked there."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import pulumi
from pulumi_proxmoxve import download

_IMPORTED = ("qcow2", "raw", "vmdk")
"""Kinds of files that Proxmox VE imports. Source: PVE::Storage, IMPORT_EXT_RE_1, from 8.4 on."""
_USUAL = "qcow2"
"""What `.img` from a distribution is."""

_DIGITS = 12
_STEM = 60
"""File names are cut here, so that scope and digits still fit into 255 bytes."""

_DOWNLOAD_SECONDS = 1800
"""The provider's own 600 s are short for a collective's line: 400 MiB in this time is 2 Mbit/s."""


@dataclass(frozen=True, kw_only=True)
class MachineImage:
    """One file on one storage of one node.

    Attributes:
        scope: what the names of all things of the stack begin with: stacks that share a storage share no
        file,
            as one would delete that of the other.
        node: downloads it.
        datastore: keeps it; its content types include `import`.
        url: a dated one.
        checksum: `algorithm:hex`.
    """

    scope: str
    node: str
    datastore: str
    url: str
    checksum: str

    @property
    def digits(self) -> str:
        """Of where it is from, of what must come, and of the node: nodes may share a storage."""
        whole = "\n".join((self.node, self.url, self.checksum))
        return hashlib.sha256(whole.encode()).hexdigest()[:_DIGITS]

    @property
    def file_name(self) -> str:
        """On the storage: never the same for two images, and the same for one as long as it is declared."""
        last = urlsplit(self.url).path.rsplit("/", 1)[-1]
        stem, _, kind = last.rpartition(".")
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", stem or last)[:_STEM].strip(".-") or "image"
        return f"{self.scope}-{stem}-{self.digits}.{kind if kind in _IMPORTED else _USUAL}"

    @property
    def resource_name(self) -> str:
        """The engine's: another image is another resource, so that an edit replaces nothing."""
        return f"image-{self.node}-{self.datastore}-{self.digits}"


def downloaded(image: MachineImage, provider: pulumi.ProviderResource) -> download.File:
    """Have the node download an image, unless it has it.

    Its content type is `import` and not `iso`: a disk that is imported does not become another one when the
    image does (`importFrom` is no reason to replace a machine, `fileId` is one), and the node needs no ssh
    for it. With `overwrite` it would be downloaded again whenever its publisher changes its size. A file that
    an interrupted update left there, and that no state knows, is downloaded anew.
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
