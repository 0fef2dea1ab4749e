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
    """Which ambiguous spellings of a path are accepted."""

    accept: frozenset[PathRelaxation] = frozenset()
    """Which spellings of a path are let in that two readers could read differently; by default none. Each is safe only
    if every upstream reads it in the same way."""


def _names(value: object) -> object:
    if isinstance(value, str) and value != "all":
        raise ValueError(f"neither `all` nor a list of names; write `[{value}]`")
    return value


def _host(text: str) -> str:
    hosts.parse(text)
    return text


class GrpcSettings(Block):
    """What is known of gRPC calls."""

    descriptors: Path
    """The file with a FileDescriptorSet of the services, imports included (`protoc --include_imports`)."""


class RequestSettings(Block):
    """What Envoy sends."""

    headers: Annotated[Literal["all"] | frozenset[str], BeforeValidator(_names)] = "all"
    """The headers that Envoy sends: `all`, or the names in `allowed_headers` of its filter. One that is named and not
    sent looks absent, and a rule about its absence would hold for everybody."""
    hosts: tuple[Annotated[str, AfterValidator(_host)], ...] | None = Field(default=None, min_length=1)
    """The hosts that lead to Envoy, as policies write them; `policy check --config` warns of policies for others.
    Without it any."""
    buffered: Switch = False
    """Whether all routes that ask buffer bodies (`with_request_body`), so that no body means an empty one. Wrongly
    said, a body that Envoy did not send looks empty."""
    grpc: GrpcSettings | None = None
    """What is known of gRPC calls. Without it their messages can't be read."""
