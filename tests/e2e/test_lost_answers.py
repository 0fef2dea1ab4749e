"""An answer that is lost on its way to Envoy: Envoy asks again, and a proof is neither lost nor good twice."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from e2e import bootstrap
from e2e.stage import Script, Stage, stage

POLICIES = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: lost}
spec:
  rules:
    - name: people-close-accounts
      methods: [POST]
      paths: ["/closure"]
      when: has(user.sub)
      effect: allow
    - name: closing-is-proven-each-time
      paths: ["/closure"]
      effect: challenge
      challenge: {factors: [totp], bind: request}
"""
CLOSURE = "/closure"
BODY = {"account": "acc-1"}
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


def _over_the_line(tree: bootstrap.Tree) -> None:
    """extauthz is reached over the line."""
    clusters = tree["static_resources"]["clusters"]
    cluster = next(entry for entry in clusters if entry["name"] == "extauthz")
    address = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
    address["pipe"]["path"] = address["pipe"]["path"].replace("grpc.sock", "line.sock")
    del cluster["health_checks"]  # their answers look the same


@pytest.fixture(scope="module")
def lossy() -> Iterator[tuple[Stage, Line]]:
    """A stage with such a line."""
    with stage(Script(policies=POLICIES, edit=_over_the_line)) as running, _line(running.folder) as line:
        yield running, line


@contextmanager
def _line(folder: Path) -> Iterator[Line]:
    line = Line(folder / "line.sock", folder / "grpc.sock")
    try:
        yield line
    finally:
        line.close()


def test_a_proof_that_was_used_up_still_serves_the_same_check_sent_again(lossy: tuple[Stage, Line]) -> None:
    running, line = lossy
    headers = running.bearer("alice")
    code = running.enroll("alice").now()
    line.to_lose = 1
    response = running.client().post(CLOSURE, json=BODY, headers={**headers, "x-extauthz-otp": code})
    assert line.to_lose == 0
    assert response.status_code == 200
    assert running.client().post(CLOSURE, json=BODY, headers=headers).status_code == 401
    again = running.client().post(CLOSURE, json=BODY, headers={**headers, "x-extauthz-otp": code})
    assert again.status_code == 401
    assert running.decided(again)["reason"] == "code-used"


def test_answers_that_stay_lost_let_nothing_through(lossy: tuple[Stage, Line]) -> None:
    running, line = lossy
    before = len(running.service.received)
    line.to_lose = 5
    assert running.client().post(CLOSURE, json=BODY, headers=running.bearer("bob")).status_code == 503
    assert len(running.service.received) == before
    line.to_lose = 0
