"""The server of extauthz/transport/grpcio.py, its threads and its options, with nothing behind it."""

import sys
from concurrent import futures

import grpc

from bench.noop import SERVICE, answer
from extauthz.transport.grpcio import _OPTIONS, THREADS


def main() -> None:
    """Serve until it is killed."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=THREADS), options=_OPTIONS)
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Check": grpc.unary_unary_rpc_method_handler(lambda request, _: answer(request))
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(sys.argv[1])
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
