"""Whole logs of several writers and files, as lines of chains with signatures, and what verifying says of them."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from extauthz.history.chains import KnownHead
from extauthz.history.verifying import Verified, Verifying
from extauthz.record.chain import Head, Link, after, beginning, chained, public_key, signed
from extauthz.record.chaining import PIECES

SEED = b"s" * 32
KEYS = {"k1": public_key(SEED)}
TIME = "2026-11-22T04:05:00.000000000Z"
AT = datetime.fromisoformat(TIME).timestamp()


def event(kind: str, **details: object) -> bytes:
    """A line of the audit about itself, as far as it stands before its place in the chain."""
    line = {"v": 1, "event": f"audit.{kind}", "time": TIME, "by": "server", "details": details}
    return json.dumps(line, separators=(",", ":")).encode()[:-1]


def plain(number: int) -> bytes:
    """A record of something, without its place in the chain."""
    return f'{{"v":1,"time":"{TIME}","decision_id":"d-{number}","decision":"allow"'.encode()


@dataclass(slots=True)
class Hand:
    """A writer; without a seed it can't sign."""

    name: str
    seed: bytes | None = SEED
    head: Head = field(init=False)

    def __post_init__(self) -> None:
        self.head = beginning(self.name)

    def write(self, *lines: bytes) -> list[bytes]:
        """These lines in their places in the chain."""
        pieces = chained(self.head, lines)
        self.head = after(self.head, pieces)
        return [b"".join(pieces[number : number + PIECES]) for number in range(0, len(pieces), PIECES)]

    def sign(self, kind: str, **details: object) -> list[bytes]:
        """An event that signs what is before it, if this writer can."""
        if self.seed is None:
            return self.write(event(kind, **details))
        return self.write(signed(self.head, event(kind, **details, key="k1"), self.seed))

    def known(self, seq: int = 0) -> KnownHead:
        """Its end as the store has it."""
        return known(Head(self.name, seq or self.head.seq, self.head.hash))


def known(head: Head | Link, at: float = AT) -> KnownHead:
    """The end of a chain as the store has it, told at that moment."""
    return KnownHead(writer=head.writer, seq=head.seq, hash=head.hash, file="audit.jsonl", at=at)


def verified(*files: Path, keys: dict[str, str] | None = KEYS, heads: list[KnownHead] | None = None) -> Verified:
    """What verifying these files comes to."""
    verifying = Verifying(keys, heads)
    for path in files:
        for _ in verifying.read(path):
            pass
    return verifying.result()


def places(result: Verified) -> list[tuple[str, int, str]]:
    """The mistakes by file name, line and kind."""
    return [(Path(one.file).name, one.line, one.mistake) for one in result.mistakes]
