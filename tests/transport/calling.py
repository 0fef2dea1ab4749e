"""Calls of gRPC's own client, of what the configuration of these tests answers."""

import grpc
from checking import told
from serving import Served

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.transport.methods import CHECK
from extauthz.wire.compose import check_request

OPEN = check_request(host="example.com", path="/open", source_ip="203.0.113.9", id="r-1")
"""Is allowed, and needs no look-up."""
AS_USER = {"authorization": "Bearer opaque-1"}


def check(served: Served) -> "grpc.UnaryUnaryMultiCallable[bytes, bytes]":
    """Checks on a connection of their own, however long their messages are."""
    return grpc.insecure_channel(
        served.said["grpc"], options=[("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    ).unary_unary(CHECK)


def as_user(path: str) -> bytes:
    """A Check of somebody whose issuer must be asked."""
    return check_request(host="example.com", path=path, headers=AS_USER, source_ip="203.0.113.9", id="r-2")


def decided(served: Served, request: bytes, *, timeout: float | None = 10) -> str:
    """The reason of the answer."""
    return told(CheckResponse.FromString(check(served)(request, timeout=timeout)))["reason"]
