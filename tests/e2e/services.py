"""The services behind Envoy in these tests: they record what reached them and echo it."""

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request as it arrived, nothing decoded; names of headers in lower case, in order."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


@dataclass(slots=True)
class HttpService:
    """Answers everything with 200 and a JSON echo, but for the first `failures` requests, whose connection it cuts, and
    the next ones, whose answers have the `statuses`.

    A request header `x-answer: name: value` is a header of the answer. What comes on an upgraded connection is sent
    back.
    """

    port: int
    received: list[Received] = field(default_factory=list)
    failures: int = 0
    statuses: list[int] = field(default_factory=list)


@contextmanager
def http_service() -> Iterator[HttpService]:
    service: HttpService

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # the head and the body of an answer are two writes

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = tuple((name.lower(), value) for name, value in self.headers.items())
            service.received.append(Received(method=self.command, target=self.path, headers=headers, body=body))
            if self.headers.get("upgrade"):
                self.echo_upgraded()
                return
            if service.failures:
                service.failures -= 1
                self.close_connection = True
                return
            echo = json.dumps({"target": self.path, "headers": headers}).encode()
            self.send_response(service.statuses.pop(0) if service.statuses else 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(echo)))
            for line in self.headers.get_all("x-answer", []):
                self.send_header(*line.split(": ", 1))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(echo)

        def echo_upgraded(self) -> None:
            self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            while data := self.connection.recv(4096):
                self.connection.sendall(data)
            self.close_connection = True

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = answer  # noqa: N815 - its interface

        def log_message(self, *_: object) -> None:
            """Nothing on standard error."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        service = HttpService(port=server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()


class _Echo(grpc.GenericRpcHandler):
    """Any method: the request's bytes come back, those of a stream one by one."""

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        if details.method.endswith("/Follow"):
            return grpc.stream_stream_rpc_method_handler(lambda requests, _: requests)
        return grpc.unary_unary_rpc_method_handler(lambda request, _: request)


@contextmanager
def grpc_service() -> Iterator[int]:
    """A gRPC server that echoes; its port."""
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads, handlers=[_Echo()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield port
        finally:
            server.stop(None).wait()


@contextmanager
def tcp_service() -> Iterator[int]:
    """A TCP server that sends back what it gets, a connection at a time; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # it was shut down
                return
            with connection:
                while data := connection.recv(4096):
                    connection.sendall(data)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
