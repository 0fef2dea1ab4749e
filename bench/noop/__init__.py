"""Servers that parse the Check and answer OK: what a transport costs without a decision.

Each is a module to run with the address to listen on: `python -m bench.noop.grpcio_noop 127.0.0.1:9191`. With an answer
in the variable `BENCH_ANSWER`, a CheckResponse in hexadecimal digits, it gives that one.
"""

import os
from typing import Final

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse

SERVICE: Final = "envoy.service.auth.v3.Authorization"
CHECK: Final = f"/{SERVICE}/Check"
PREFIX: Final = 5
"""Bytes before a gRPC message: whether it is compressed, and its length."""
_said = CheckResponse()
_said.status.SetInParent()
_said.ok_response.SetInParent()
ANSWER: Final = "BENCH_ANSWER"
_OK: Final = bytes.fromhex(os.environ.get(ANSWER, "")) or _said.SerializeToString()


def answer(request: bytes) -> bytes:
    """The same to everything that parses."""
    CheckRequest.FromString(request)
    return _OK


def framed(message: bytes) -> bytes:
    """The message as gRPC sends it: not compressed, its length before it."""
    return b"\0" + len(message).to_bytes(PREFIX - 1, "big") + message
