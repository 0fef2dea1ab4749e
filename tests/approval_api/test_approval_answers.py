"""Answers of an approvers' API that is none: the command that asks it ends in a line, and does not fill the memory."""

import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from commanding import command

from extauthz.cli import approval_answers
from extauthz.cli.approval_answers import LARGEST, LONGEST_LINE, NotDone
from extauthz.cli.approval_client import Api
from extauthz.cli.approval_ids import asked_for

Said = Callable[[], Iterator[bytes]]


@contextmanager
def serving(said: Said, *, status: int = 200, content_type: str = "application/json") -> Iterator[Api]:
    """An API that answers whatever it is asked with this, piece by piece."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-type", content_type)
            self.end_headers()
            try:
                for piece in said():
                    self.wfile.write(piece)
            except ConnectionError:  # whoever asked has heard enough
                return

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))  # closing with more to read is a reset
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the library has it
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Api(url=f"http://127.0.0.1:{server.server_port}", token="t", trusted=ssl.create_default_context())
    finally:
        server.shutdown()
        server.server_close()


def blanks(times: int, end: bytes) -> Iterator[bytes]:
    """JSON may begin with any number of blanks."""
    for _ in range(times // 65_536):
        yield b" " * 65_536
    yield end


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("verb", ["get", "post", "events"])
def test_an_answer_that_is_too_long_is_not_read_to_its_end(verb: str, status: int) -> None:
    with serving(lambda: blanks(LARGEST + 65_536, b"{}"), status=status) as api:
        asked: dict[str, Callable[[], object]] = {
            "get": lambda: api.get("/v1/approvals"),
            "post": lambda: api.post("/v1/approvals/a/approve", {}),
            "events": lambda: list(api.events("/v1/approvals/events", {})),
        }
        with pytest.raises(NotDone, match="longer than") as refused:
            asked[verb]()
    assert "\n" not in str(refused.value)


def test_a_long_answer_is_read() -> None:
    with serving(lambda: blanks(LARGEST - 65_536, b'{"a": 1}')) as api:
        assert api.get("/v1/approvals") == {"a": 1}


def test_an_answer_that_takes_too_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approval_answers, "SECONDS", 0.3)

    def dripping() -> Iterator[bytes]:
        for _ in range(40):
            time.sleep(0.05)
            yield b" "
        yield b"{}"

    with serving(dripping) as api, pytest.raises(NotDone, match="no whole answer"):
        api.get("/v1/approvals")


def told(*lines: bytes) -> list[object]:
    """What a stream of these pieces tells before it ends."""
    found: list[object] = []
    with serving(lambda: iter(lines), content_type="text/event-stream") as api, pytest.raises(NotDone) as ended:
        found.extend(api.events("/v1/approvals/events", {}))
    return [*found, str(ended.value).rpartition(": ")[2]]


def test_a_stream_is_read_line_by_line_however_it_comes() -> None:
    over = "the server has ended the stream; watch again"
    assert told(b'event: approval\ndata: {"a": 1}\n\n: a beat\n\ndata: {"a": 2}\r\n\r\n') == [{"a": 1}, {"a": 2}, over]
    assert told(b"event: appro", b"val\nda", b'ta: {"a"', b": 1}", b"\n", b"\n") == [{"a": 1}, over]
    end = {"reason": "token-expired", "detail": "log in"}
    assert told(b'data: {"a": 1}\n\nevent: end\ndata: ' + json.dumps(end).encode() + b"\n\n") == [{"a": 1}, "log in"]
    assert told(b"data: {\n\n") == ["the stream tells something else than JSON"]


def test_what_is_no_stream_is_told() -> None:
    with serving(lambda: iter([b"{}"]), status=202) as api, pytest.raises(NotDone, match="202 with no stream"):
        list(api.events("/v1/approvals/events", {}))


def test_a_line_of_a_stream_that_is_too_long_is_not_read_to_its_end() -> None:
    (said,) = told(b"data: ", *blanks(LONGEST_LINE + 65_536, b"{}\n\n"))
    assert "a line is longer than" in str(said)
    assert told(b"data: ", *blanks(LONGEST_LINE - 65_536, b"{}\n\n"))[0] == {}


WHOLE = "a" * 32
ODD: list[object] = [
    *(None, 7, [], {}, {"approvals": 7}, {"approvals": [7], "next": None}, {"approvals": [{}], "next": []}),
    {"id": "a", "status": "pending", "reason": "needs-factor", "factors": 7, "\x1b[2J": "\x1b[2J"},
]


@pytest.mark.parametrize(
    "words",
    [
        *(("list",), ("watch",), ("show", WHOLE), ("show", "abcd"), ("approve", WHOLE), ("deny", WHOLE)),
        *(("cancel", WHOLE), ("revoke", WHOLE), ("review", WHOLE, "justified")),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("status", [200, 403])
def test_an_answer_of_another_shape_ends_in_a_line(words: tuple[str, ...], status: int, tmp_path: Path) -> None:
    content = b""
    kind = "application/json" if status == 200 else "application/problem+json"
    with serving(lambda: iter([content]), status=status, content_type=kind) as api:
        for odd in ODD:
            streamed = words == ("watch",) and status == 200
            content = b"data: " * streamed + json.dumps(odd).encode() + b"\n\n"
            arguments = ("approvals", *words, "--url", api.url)
            ended = command(*arguments, folder=tmp_path, environ={"APPROVALS_TOKEN": "t"})
            line, *more = ended.stderr.splitlines()
            assert (ended.returncode, ended.stdout, more) == (1, "", []), (odd, ended)
            assert line.startswith("extauthz: ")
            assert line.isprintable()


def test_pages_without_end_are_not_turned_for_ever() -> None:
    page = json.dumps({"approvals": [], "next": "again"}).encode()
    with serving(lambda: iter([page])) as api, pytest.raises(NotDone, match="whole id"):
        asked_for(api, "abcd")
