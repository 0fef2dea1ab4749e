"""Answers of the approvers' API, as they come.

The rule: whoever answers there may be wrong, or somebody else. So an answer has a bound, in bytes and in time, a stream
one for each line, and what makes no sense is told in a line.
"""

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec

from extauthz.errors import ExtauthzError

if TYPE_CHECKING:
    import httpx

LARGEST: Final = 32 << 20
"""Bytes of an answer: a page of 200 approvals, each with all that its rule shows, is smaller."""
LONGEST_LINE: Final = 4 << 20
"""Bytes of a line of a stream, which is one approval."""
SECONDS: Final = 60.0
"""For a whole answer; of a stream there is no whole."""


class NotDone(ExtauthzError):
    """The API was not reached, or has refused; the message says what to do."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered from `url`."""

    url: str
    status: int
    content_type: str
    content: bytes

    def json(self) -> Any:  # noqa: ANN401 - JSON
        """What it says. Raises `NotDone` for what is no JSON."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            raise NotDone(f"{self.url}: answered {self.status} with something else than JSON") from None


def whole(response: "httpx.Response") -> Answer:
    """The answer, as soon as all of it is there. Raises `NotDone` for one that is too long, or takes too long."""
    until = time.monotonic() + SECONDS
    content = bytearray()
    for chunk in response.iter_raw():
        content += chunk
        if len(content) > LARGEST:
            raise NotDone(f"{response.url}: the answer is longer than {LARGEST} bytes; is it the right address?")
        if time.monotonic() > until:
            raise NotDone(f"{response.url}: no whole answer within {SECONDS:g} s; try again")
    return Answer(
        url=str(response.url),
        status=response.status_code,
        content_type=response.headers.get("content-type", ""),
        content=bytes(content),
    )


def events(response: "httpx.Response") -> Iterator[tuple[str, Any]]:
    """What a stream tells, by the name of the event (HTML standard, section 9.2.6). Raises `NotDone` for nonsense."""
    name = ""
    for line in _lines(response):
        field, _, value = line.partition(b": ")
        if field == b"event":
            name = value.decode(errors="replace")
        elif field == b"data":
            try:
                yield name, json.loads(value)
            except (ValueError, RecursionError):
                raise NotDone(f"{response.url}: the stream tells something else than JSON") from None


def _lines(response: "httpx.Response") -> Iterator[bytes]:
    held = bytearray()
    for chunk in response.iter_raw():
        first, *more = chunk.split(b"\n")
        held += first
        for line in more:
            yield bytes(held).rstrip(b"\r")
            held[:] = line
        if len(held) > LONGEST_LINE:
            raise NotDone(f"{response.url}: a line is longer than {LONGEST_LINE} bytes; is it the right address?")
