"""The `request:` and `paths:` blocks of extauthz.yaml: what the operator says of the requests that Envoy asks about.

The rule: what is not said here is not taken for granted, and a header, a body or a type is then unknown.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from extauthz.policy import hosts
from extauthz.values.block import Block, Switch

PathRelaxation = Literal["semicolon", "empty_segment", "encoded_slash", "dot_segment"]


class PathSettings(Block):
    """Which ambiguous spellings of a path are accepted (design section 3, canonical path)."""

    accept: frozenset[PathRelaxation] = frozenset()


def _names(value: object) -> object:
    if isinstance(value, str) and value != "all":
        raise ValueError(f"neither `all` nor a list of names; write `[{value}]`")
    return value


def _host(text: str) -> str:
    hosts.parse(text)
    return text


class GrpcSettings(Block):
    """What is known of gRPC calls: `descriptors` is a file with a FileDescriptorSet, imports included."""

    descriptors: Path


class RequestSettings(Block):
    """What Envoy sends.

    `headers` are the names in `allowed_headers` of its filter, or `all`. `hosts` lead to it, written as in policies,
    which `policy check` compares with those of the policies (`None`: any). `buffered` says that the routes that ask
    buffer bodies (`with_request_body`), but those whose context extension `extauthz.buffered` says otherwise.
    """

    headers: Annotated[Literal["all"] | frozenset[str], BeforeValidator(_names)] = "all"
    hosts: tuple[Annotated[str, AfterValidator(_host)], ...] | None = Field(default=None, min_length=1)
    buffered: Switch = False
    grpc: GrpcSettings | None = None
