"""A wire between Envoy and extauthz that can lose answers."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

FRAME_HEADER = 9  # RFC 9113 section 4.1
HEADERS_FRAME = 1


class Line:
    """A wire between Envoy and extauthz that can lose answers."""

    def __init__(self, near: Path, far: Path) -> None:
        self.to_lose = 0
        self._far = far
        self._open = ExitStack()
        self._listener = self._open.enter_context(socket.socket(socket.AF_UNIX))
        self._listener.bind(str(near))
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """Cut everything."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._open.close()
        for thread in self._threads[1:]:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener was shut down
            while True:
                near, _ = self._listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(str(self._far))
                for end in (near, far):
                    self._open.callback(_cut, end)
                for pump in (self._questions, self._answers):
                    thread = threading.Thread(target=pump, args=(near, far))
                    thread.start()
                    self._threads.append(thread)

    def _questions(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                far.sendall(data)
        _hang_up(near, far)

    def _answers(self, near: socket.socket, far: socket.socket) -> None:
        """Frame by frame: headers begin an answer, and if it is to be lost the line goes dead before them."""
        with contextlib.suppress(OSError), far.makefile("rb") as frames:
            while header := frames.read(FRAME_HEADER):
                if header[3] == HEADERS_FRAME and self.to_lose:
                    self.to_lose -= 1
                    break
                near.sendall(header + frames.read(int.from_bytes(header[:3])))
        _hang_up(near, far)


def _hang_up(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _cut(end: socket.socket) -> None:
    _hang_up(end)
    end.close()


@contextmanager
def lossy_line(near: Path, far: Path) -> Iterator[Line]:
    """Such a line, where it is reached and where it leads."""
    line = Line(near, far)
    try:
        yield line
    finally:
        line.close()
