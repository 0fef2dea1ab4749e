"""python bench/noop/grpcio_noop.py ADDRESS: the server of extauthz/transport/grpcio.py with nothing behind it."""

import sys
from concurrent import futures

import grpc

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from extauthz.transport.grpcio import _OPTIONS, SERVICE, THREADS

_answer = CheckResponse()
_answer.status.SetInParent()
_answer.ok_response.SetInParent()
OK = _answer.SerializeToString()


def check(request: bytes, _context: grpc.ServicerContext) -> bytes:
    """OK to everything that parses."""
    CheckRequest.FromString(request)
    return OK


def main() -> None:
    """Serve until it is killed."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=THREADS), options=_OPTIONS)
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(sys.argv[1])
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
