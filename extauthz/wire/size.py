"""How large a Check may be, told before it is parsed.

The rule: what is parsed is bounded. A body is bytes, and costs what it is long; everything beside it becomes objects,
many times as large as their bytes, and is bounded more closely.
"""

from typing import Final

from google.protobuf.message import DecodeError

from extauthz._pb.extauthz.check_pb2 import Bodies

LARGEST: Final = 2_097_152
"""Bytes of a Check with its body."""
LARGEST_BESIDE: Final = 262_144
"""Bytes of a Check beside its body; Envoy takes no more than 60 KiB of headers unless it is told to."""


def is_too_large(payload: bytes) -> bool:
    """Whether a Check is larger than what is read; linear, and for most of them a comparison."""
    return len(payload) > LARGEST_BESIDE and (len(payload) > LARGEST or _beside(payload) > LARGEST_BESIDE)


def _beside(payload: bytes) -> int:
    """The bytes that are no body; all of them if there is none to be found."""
    try:
        http = Bodies.FromString(payload).attributes.request.http
    except DecodeError:
        return len(payload)
    return len(payload) - len(http.body) - len(http.raw_body)
