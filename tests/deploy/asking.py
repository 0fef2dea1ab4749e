"""Asks a server on loopback for decisions about GETs of these paths, and prints the status of each, as JSON.

Run in a pod's network. With TLS CALLER is what its certificate (`.pem`) and key (`.key`) are called, beside `ca.pem`.
"""

import json
import os
import sys
from pathlib import Path

import grpc

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.transport.methods import SERVICE
from extauthz.wire.compose import check_request


def main(address: str, paths: list[str]) -> None:
    """Print `{path: code}`, or why it was not answered."""
    caller = os.environ.get("CALLER")
    if caller is None:
        channel = grpc.insecure_channel(address)
    else:
        names = (Path(caller).parent / "ca.pem", f"{caller}.key", f"{caller}.pem")
        authority, key, chain = (Path(name).read_bytes() for name in names)
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(authority, key, chain))
    answers = {}
    with channel:
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/Check")
        for path in paths:
            request = check_request(host="example.com", path=path, headers={}, source_ip="127.0.0.1")
            answers[path] = CheckResponse.FromString(check(request, timeout=30)).status.code
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
