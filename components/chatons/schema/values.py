"""The types of single values: names, hostnames, images, paths. Each refusal has a remedy."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import posixpath
import re
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from chatons.schema.by_hand import pulumi_command
from chatons.schema.image_reference import ImageReference

REFUSED = "refused"
"""The pydantic error type of every refusal here; its context has `problem` and `remedy`."""


class Strict(BaseModel):
    """A part of the declaration: immutable; unknown keys are refused, and no type is converted.

    A list of the file becomes a tuple where the field says `strict=False`.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, arbitrary_types_allowed=True, strict=True
    )


class Encrypted:
    """Marks an encrypted value of the configuration; the value itself stays with the engine."""

    def __repr__(self) -> str:
        return "[secret]"


ENCRYPTED = Encrypted()


def refuse(problem: str, remedy: str) -> NoReturn:
    """Refuse a value from inside a validator."""
    raise PydanticCustomError(REFUSED, "{problem}", {"problem": problem, "remedy": remedy})


@dataclass(frozen=True)
class Matching:
    """A text that must match a pattern as a whole.

    Attributes:
        pattern: a regular expression that editors understand too.
        what: completes "'...' is not".
        remedy: one imperative sentence.
        example: a text that matches.
    """

    pattern: str
    what: str
    remedy: str
    example: str

    def check(self, value: str) -> str:
        """Return the value.

        Raises:
            PydanticCustomError: it does not match.
        """
        if not re.fullmatch(self.pattern, value, re.ASCII):
            refuse(f"{value!r} is not {self.what}", self.remedy)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "pattern": f"^(?:{self.pattern})$", "examples": [self.example]}


_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*"
_WRITE_IMAGE = "write repository:tag, and @sha256:digest outside `local`"


def _docker(value: str) -> str:
    if value.startswith(("tcp://", "http://", "https://")):
        refuse(
            "tcp:// is refused: everybody who reaches that port is root on the machine",
            "use ssh://user@host with host_key, or unix:///var/run/docker.sock on the machine itself",
        )
    return value


def _host_key(value: str) -> str:
    match = re.fullmatch(
        r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) ([A-Za-z0-9+/]+=*)", value, re.ASCII
    )
    try:
        blob = base64.b64decode(match[2], validate=True) if match else b""
    except binascii.Error:
        blob = b""
    if match is None or match[1].encode() not in blob[:64]:
        refuse(
            "this is not a public host key",
            "paste type and key, without a name, from /etc/ssh/ssh_host_ed25519_key.pub of the machine",
        )
    return value


def _image(value: object) -> ImageReference:
    if isinstance(value, ImageReference):
        return value
    if not isinstance(value, str):
        refuse("an image is a string", "write repository:tag, such as `postgres:15.14`")
    try:
        image = ImageReference.parse(value)
    except ValueError:
        refuse(f"{value!r} is not an image reference", _WRITE_IMAGE)
    if image.tag is None:
        refuse(f"the image {value!r} has no tag", "write the tag of a version, such as postgres:15.14")
    if image.tag == "latest":
        refuse(
            f"the image {value!r} follows `latest`, which changes without a commit",
            "write the tag of a version, such as postgres:15.14",
        )
    return image


def _absolute(value: str) -> str:
    if not re.fullmatch(r"/(?!/)[^\x00-\x1f:,]+", value) or posixpath.normpath(value) != value:
        refuse(
            f"{value!r} is not an absolute path inside the container",
            "write the whole path, such as /var/lib/wiki, without `..`, comma, colon or slash at the end",
        )
    return value


def _text(value: object) -> object:
    if isinstance(value, bool | int | float):
        word = str(value).lower() if isinstance(value, bool) else str(value)
        refuse(
            "this is a number or a boolean, and a string is required",
            f'put the value in quotes: write `"{word}"`',
        )
    if isinstance(value, str) and "\0" in value:
        refuse("this contains a NUL byte", "remove it")
    return value


def _line(value: str) -> str:
    if not value.strip() or not value.isprintable():
        refuse("this is empty or contains control characters", "write one line of text")
    return value


def _page(value: str) -> str:
    if not value.strip() or not value.replace("\n", " ").replace("\t", " ").isprintable():
        refuse("this is empty or contains control characters", "write one or more lines of text")
    return value


def _address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        refuse(
            f"{value!r} is not an IP address",
            "write 127.0.0.1 for this machine only, 0.0.0.0 for all addresses",
        )


def _capability(value: str) -> str:
    return value if value.startswith("CAP_") else f"CAP_{value}"


def _encrypted(value: object) -> Encrypted:
    if not isinstance(value, Encrypted):
        refuse(
            "this is a secret in plain text",
            f"remove it, and set it again with `{pulumi_command('config set --secret --path')}`",
        )
    return value


def _several(value: object) -> object:
    return [value] if isinstance(value, int) and not isinstance(value, bool) else value


FREE_TEXT = "value"
"""The example of a text that may be anything."""
Text = Annotated[str, BeforeValidator(_text), Field(examples=[FREE_TEXT])]
Word = Annotated[str, AfterValidator(_line), Field(max_length=200)]
"""One line that is more than free text; a narrower type gives the example."""
Line = Annotated[Text, AfterValidator(_line), Field(max_length=200, examples=["Picapad"])]
Page = Annotated[Text, AfterValidator(_page), Field(max_length=20_000, examples=["Welcome to this pad."])]
Name = Annotated[
    str,
    Matching(
        r"[a-z](?:[a-z0-9-]{0,28}[a-z0-9])?",
        "a name",
        "use 1 to 30 lower-case letters, digits and dashes, a letter first and no dash last",
        "pad",
    ),
]
Hostname = Annotated[
    str,
    Matching(
        rf"(?=.{{1,253}}$)(?:{_LABEL}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?",
        "a hostname",
        "write the bare name in lower case, such as pad.picasoft.example",
        "pad.picasoft.example",
    ),
]
Mailbox = Annotated[
    str,
    Matching(
        r"[^@\s<>\"]+@[^@\s<>\"]+\.[^@\s<>\"]+",
        "an email address",
        "write one such as tech@picasoft.example",
        "tech@picasoft.example",
    ),
]
Country = Annotated[
    str, Matching("[A-Z]{2}", "a country code", "write the two capital letters of ISO 3166, such as FR", "FR")
]
DockerAddress = Annotated[
    str,
    AfterValidator(_docker),
    Matching(
        rf"ssh://[a-z_][a-z0-9_-]{{0,31}}@{_HOST}(?::\d{{1,5}})?|unix:///[\w./-]+",
        "the address of a Docker engine",
        "use ssh://user@host, ssh://user@host:port or unix:///var/run/docker.sock",
        "unix:///var/run/docker.sock",
    ),
]
HostKey = Annotated[
    str,
    AfterValidator(_host_key),
    Field(examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC"]),
]
AbsolutePath = Annotated[str, AfterValidator(_absolute), Field(examples=["/var/lib/wiki"])]
Variable = Annotated[
    str,
    Matching(
        "[A-Za-z_][A-Za-z0-9_]*",
        "the name of an environment variable",
        "use letters, digits and underscores",
        "LANG",
    ),
]
BindAddress = Annotated[str, AfterValidator(_address), Field(examples=["127.0.0.1"])]
Capability = Annotated[
    str,
    Matching(
        "(?!CAP_ALL$|ALL$)[A-Z][A-Z_]+",
        "a single capability",
        "name each one, such as CAP_CHOWN",
        "CAP_CHOWN",
    ),
    AfterValidator(_capability),
]
Header = Annotated[
    str,
    Matching(
        "[A-Za-z][A-Za-z0-9-]*",
        "the name of an HTTP header",
        "use letters, digits and dashes, as in Remote-User",
        "Remote-User",
    ),
]
VerifyUrl = Annotated[
    str,
    Matching(
        rf"https?://{_HOST}(?::\d{{1,5}})?(?:/[\w./~-]*)?(?:\?[\w.~=&%-]*)?",
        "a URL for forward authentication",
        "write https://host/path without user and fragment",
        "https://login.picasoft.example/verify",
    ),
]
UrlPath = Annotated[
    str,
    Matching(
        r"/[\w./~%?=&+-]*",
        "the path of a URL",
        "start it with a slash and use no spaces, as in /health",
        "/health",
    ),
]
Login = Annotated[
    str,
    Matching(
        "[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
        "a login",
        "use letters, digits, dots, dashes and underscores",
        "members",
    ),
]
RunAs = Annotated[
    str,
    Matching(
        "[a-z0-9_][a-z0-9_-]*(?::[a-z0-9_][a-z0-9_-]*)?",
        "a user",
        "write a name or number, such as 1000:1000",
        "1000:1000",
    ),
]
Port = Annotated[int, Field(ge=1, le=65535, examples=[8080])]
Mebibytes = Annotated[int, Field(ge=16, le=1_048_576, examples=[512])]
Cpus = Annotated[float, Field(ge=0.05, le=256, examples=[0.5])]
Seconds = Annotated[int, Field(ge=1, le=3600, examples=[60])]
Status = Annotated[int, Field(ge=100, le=599, examples=[200])]
Statuses = Annotated[
    tuple[Status, ...],
    BeforeValidator(_several, json_schema_input_type=Status | list[Status]),
    Field(min_length=1, strict=False, examples=[[200]]),
]
Image = Annotated[
    ImageReference,
    BeforeValidator(_image),
    PlainSerializer(str),
    WithJsonSchema(
        {
            "type": "string",
            "description": "repository:tag, and @sha256:digest outside `local`",
            "examples": ["postgres:15.14"],
        }
    ),
]
SecretHere = Annotated[
    Any,
    BeforeValidator(_encrypted),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {"secure": {"type": "string"}},
            "required": ["secure"],
            "additionalProperties": False,
            "description": "written by `pulumi config set --secret --path`",
        }
    ),
]
