"""GET on a Unix socket: how the parts of the demo are asked whether they are ready."""

import http.client
import socket
from contextlib import closing
from pathlib import Path

SECONDS = 2.0


def get(path: Path, target: str) -> tuple[int, bytes]:
    """Status and body of `GET target` from the HTTP server on the socket `path`; `OSError` if there is none."""
    with closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.settimeout(SECONDS)
        connection.connect(str(path))
        connection.sendall(f"GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
        response = http.client.HTTPResponse(connection)
        try:
            response.begin()
            return response.status, response.read()
        except http.client.HTTPException as error:
            raise OSError(f"{path}: no HTTP answer: {error!r}") from error
        finally:
            response.close()


def answers(path: Path, target: str) -> bool:
    """Whether `GET target` is answered with 200."""
    try:
        return get(path, target)[0] == http.HTTPStatus.OK
    except OSError:
        return False
