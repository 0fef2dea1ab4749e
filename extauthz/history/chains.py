"""The chains in audit files, followed line by line: what was changed, left out, put in, swapped or forked, and where.

The rules: what a writer's lines cost in memory does not depend on how many they are. Each mistake is told once, at the
line where it shows, and what stands behind it is still looked at: so a line that does not follow is remembered with all
that it may have been, and the next one may follow any of these.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from extauthz.record.chain import Head, Link, Signed, beginning, hash_of, is_signed, link_of, signed_of
from extauthz.record.file_lines import TOO_LONG
from extauthz.record.rotation import rotated_at

MOST_UNSIGNED: Final = 2_000
"""Lines of a writer that may stand without a signature; it signs after half as many at the latest."""
MOST_TOLD: Final = 1_000
"""Mistakes that are kept; of further ones there is the number alone."""
_MOST_HEADS: Final = 8
_AUDIT_EVENT: Final = b'{"v":1,"event":"audit.'
_STARTED: Final = b'{"v":1,"event":"audit.started",'
_IN_A_NUMBER: Final = b"+-.0123456789Ee"
_TORN_END: Final = re.compile(rb'[0-9a-f]{0,64}"?\Z')
_HASH: Final = b',"hash":"'

Mistake = Literal["changed", "missing", "repeated", "stray", "signature", "cut", "vanished"]
"""What is wrong: a line is not as it was written; lines before it are gone; it comes once more, too late or beside
another one in its place; it is of no chain, or behind the end of one; a signature is wrong, missing or of an unknown
key; the end that the store knows is not there; a whole writer is not there."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    """A mistake and its place; `line` is 0 where it is about a whole file, and `file` empty where it is about none."""

    file: str
    line: int
    mistake: Mistake
    text: str


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Remark:
    """What is to be known and is no mistake."""

    file: str
    line: int
    text: str


class AuditEvent(msgspec.Struct):
    """What a line that the audit has written of itself says: where it is signed, under the signature."""

    event: str = ""
    details: dict[str, Any] = {}
    signed: Signed | None = None


class _Said(msgspec.Struct):
    event: str
    details: dict[str, Any] = {}


_SAID: Final = msgspec.json.Decoder(_Said)


class Stretch:
    """The lines of one writer in one file.

    `first` waits to be proven while the line before it is not known, and may be `first_told` to be wrong; `second` is
    the line behind it, if that did not follow. `seq`, `hash` and `line` are the last one's. `signed` is the last one
    that a signature covers, `first_signed` is the first that has one.
    """

    __slots__ = (
        "file",
        "first",
        "first_event",
        "first_line",
        "first_signed",
        "first_told",
        "hash",
        "heads",
        "line",
        "proven",
        "second",
        "second_finding",
        "seq",
        "signed",
        "stopped",
    )

    def __init__(self, file: str, line: int, link: Link) -> None:
        self.file = file
        self.first = link
        self.first_line = line
        self.first_told = False
        self.first_event: AuditEvent | None = None
        self.proven = False
        self.second: Link | None = None
        self.second_finding: Finding | None = None
        self.seq = link.seq
        self.hash = link.hash
        self.line = line
        self.heads: list[tuple[int, str]] = []
        self.signed = link.seq - 1
        self.first_signed: int | None = None
        self.stopped = False

    def ends(self) -> list[tuple[int, str]]:
        """What a next line may follow."""
        return [(self.seq, self.hash), *self.heads]


class KnownHead(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a chain as the store knows it: `file` is where it was written, `at` is when it was told of, in seconds
    since the epoch."""

    writer: str
    seq: int
    hash: str
    file: str
    at: float


class Findings:
    """What was found so far; bounded."""

    def __init__(self) -> None:
        self.mistakes: list[Finding] = []
        self.count = 0
        self.remarks: list[Remark] = []

    def tell(self, file: str, line: int, mistake: Mistake, text: str) -> Finding:
        """Add a mistake."""
        finding = Finding(file=file, line=line, mistake=mistake, text=text)
        self.count += 1
        if len(self.mistakes) < MOST_TOLD:
            self.mistakes.append(finding)
        return finding

    def take_back(self, finding: Finding) -> None:
        """Forget a mistake that was none."""
        self.count -= 1
        if finding in self.mistakes:
            self.mistakes.remove(finding)

    def remark(self, file: str, line: int, text: str) -> None:
        """Add what is no mistake."""
        if len(self.remarks) < MOST_TOLD:
            self.remarks.append(Remark(file=file, line=line, text=text))


class FileChains:
    """Follows the chains in one file. `keys` are public keys by id, `None` where signatures are not looked at."""

    def __init__(
        self, file: Path, findings: Findings, *, keys: Mapping[str, str] | None, heads: Mapping[str, KnownHead]
    ) -> None:
        self.path = str(file)
        self._findings = findings
        self._keys = keys
        self._heads = heads
        self.stretches: dict[str, Stretch] = {}
        self.removed: dict[str, set[tuple[int, str]]] = {}
        """Of each writer the lines behind which the rest was removed by the retention."""
        self.removed_until = 0.0
        """Whatever was written before, in seconds since the epoch, the retention has removed: it takes the oldest."""

    def take(self, number: int, raw: bytes) -> None:
        """The next line, with its newline if it has one."""
        line = raw.removesuffix(b"\n")
        link = link_of(line)
        if link is None:
            self._stray(number, line)
            return
        stretch = self.stretches.get(link.writer)
        before: str | None
        if stretch is None:
            stretch = self.stretches[link.writer] = Stretch(self.path, number, link)
            before = self._begin(stretch, link)
            if link.seq == 1 and self._keys is not None and not line.startswith(_STARTED):
                text = f"writer {link.writer} does not begin with an `audit.started` that is signed"
                self._findings.tell(self.path, number, "signature", text)
        elif link.seq == stretch.seq + 1 and hash_of(stretch.hash, link.body) == link.hash:
            before = stretch.hash
            stretch.seq, stretch.hash, stretch.line = link.seq, link.hash, number
            if stretch.stopped:
                stretch.stopped = False
                self._findings.tell(self.path, number, "stray", behind_the_end(link.writer))
        else:
            before = self._odd(stretch, number, link)
        if line.startswith(_AUDIT_EVENT):
            self._event(stretch, number, link, line, before)
        if self._keys is not None and link.seq - stretch.signed > MOST_UNSIGNED:
            stretch.signed = link.seq
            self._findings.tell(self.path, number, "signature", unsigned(link.writer))
        head = self._heads.get(link.writer)
        if head is not None and head.seq == link.seq and head.hash != link.hash:
            text = f"line {link.seq} of writer {link.writer} is not the one whose hash the store has"
            self._findings.tell(self.path, number, "changed", text)

    def _begin(self, stretch: Stretch, link: Link) -> str | None:
        """The first line of a writer in this file; the hash before it, if that is known."""
        if link.seq > 1:
            return None
        stretch.proven = True
        before = beginning(link.writer).hash
        if hash_of(before, link.body) == link.hash:
            return before
        self._findings.tell(self.path, stretch.line, "changed", changed(link))
        stretch.heads = [(1, hash_of(before, link.body))]
        return None

    def _odd(self, stretch: Stretch, number: int, link: Link) -> str | None:
        """A line that does not follow its writer's last one; the hash before it, if it follows another one."""
        for seq, before in stretch.heads:
            if link.seq == seq + 1 and hash_of(before, link.body) == link.hash:
                stretch.heads = [*stretch.heads[-_MOST_HEADS:], (stretch.seq, stretch.hash)]
                stretch.seq, stretch.hash, stretch.line = link.seq, link.hash, number
                return before
        if not stretch.proven and stretch.line == stretch.first_line and hash_of(stretch.hash, link.body) == link.hash:
            self._renumber(stretch, number, link)
            return None
        due = stretch.seq + 1
        if link.seq == due:
            finding = self._findings.tell(self.path, number, "changed", changed(link))
        elif link.seq > due:
            text = f"no {_lines(due, link.seq - 1)} of writer {link.writer} before this one"
            finding = self._findings.tell(self.path, number, "missing", text)
        else:
            text = (
                f"this says that it is line {link.seq} of writer {link.writer}, behind line {stretch.seq}: "
                "repeated, moved, or another chain than the one before"
            )
            finding = self._findings.tell(self.path, number, "repeated", text)
        if not stretch.proven and stretch.line == stretch.first_line:
            stretch.second, stretch.second_finding = link, finding
        old = stretch.seq, stretch.hash
        others = [(link.seq, link.hash), old, (due, link.hash), (due, hash_of(stretch.hash, link.body))]
        stretch.heads = [*stretch.heads[-_MOST_HEADS:], *others]
        if link.seq >= due:
            stretch.seq, stretch.hash, stretch.line = link.seq, link.hash, number
        return None

    def _renumber(self, stretch: Stretch, number: int, link: Link) -> None:
        """The line behind a first one follows it by its hash, and so tells its number."""
        self._findings.tell(self.path, stretch.first_line, "changed", changed(stretch.first))
        stretch.first_told = True
        first = stretch.first
        stretch.first = Link(first.body, first.writer, link.seq - 1, first.hash)
        stretch.proven = link.seq == 2  # there is no line before it that could say more
        stretch.signed = min(stretch.signed, link.seq - 2)
        stretch.seq, stretch.hash, stretch.line = link.seq, link.hash, number

    def _event(self, stretch: Stretch, number: int, link: Link, line: bytes, before: str | None) -> None:
        """What the audit says of itself."""
        event = _event_of(link, line)
        stretch.stopped = event.event == "audit.stopped"
        if event.event == "audit.removed":
            self._note_removed(event.details)
        if before is not None:
            check_signature(stretch, number, event, Head(link.writer, link.seq - 1, before), self._keys, self._findings)
        elif not stretch.proven and number == stretch.first_line:
            stretch.first_event = event

    def _note_removed(self, details: Mapping[str, Any]) -> None:
        moment = rotated_at(str(details.get("file")))
        if moment is not None:  # a moment within that second
            self.removed_until = max(self.removed_until, moment + 1.0)
        heads = details.get("heads")
        for text in heads if isinstance(heads, list) else ():
            writer, _, rest = str(text).partition(":")
            seq, _, hash_ = rest.partition(":")
            if seq.isascii() and seq.isdigit():
                self.removed.setdefault(writer, set()).add((int(seq), hash_))

    def _stray(self, number: int, line: bytes) -> None:
        """A line of no chain."""
        if line == TOO_LONG:
            self._findings.tell(self.path, number, "stray", "line too long: longer than any that is written")
        elif is_torn(line):
            self._findings.remark(
                self.path, number, "half a line, as a process leaves it that is killed, or a disk that is full"
            )
        else:
            text = "this line is of no chain: it was put here, or what ends it was changed"
            self._findings.tell(self.path, number, "stray", text)


def check_signature(
    stretch: Stretch, number: int, event: AuditEvent, before: Head, keys: Mapping[str, str] | None, findings: Findings
) -> None:
    """Look at the signature of an event of the audit, which all of them have."""
    if keys is None:
        return
    kid, signed = event.details.get("key"), event.signed
    if signed is None or not isinstance(kid, str):
        text = f"what the audit says of itself in line {before.seq + 1} of writer {before.writer} is not signed"
        findings.tell(stretch.file, number, "signature", text)
        return
    public = keys.get(kid)
    if public is None:
        text = f"signed with key `{kid[:64]}`, which is none of those given"
        findings.tell(stretch.file, number, "signature", text)
    elif not is_signed(public, before, signed):
        text = f"the signature is not one of key `{kid}` over this line and those before it"
        findings.tell(stretch.file, number, "signature", text)
    # A wrong one is told, and need not be told again.
    stretch.signed = max(stretch.signed, before.seq + 1)
    if stretch.first_signed is None:
        stretch.first_signed = before.seq + 1


def _event_of(link: Link, line: bytes) -> AuditEvent:
    """What a line says that begins like one of the audit's own; nothing, if it can't be read."""
    signed = signed_of(link)
    try:
        said = _SAID.decode(line if signed is None else signed.said + b"}}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return AuditEvent()
    return AuditEvent(said.event, said.details, signed)


def is_torn(line: bytes) -> bool:
    """Whether this is the beginning of a line, and not a whole one that was changed. In one look at each byte."""
    if not line:
        return True
    at = line.rfind(_HASH)
    if at >= 0 and link_of(line[:at] + _HASH + b"0" * 64 + b'"}') is not None:
        return _TORN_END.match(line, at + len(_HASH)) is not None
    try:
        msgspec.json.decode(line.rstrip(_IN_A_NUMBER))  # one that is cut is told as malformed
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return line.startswith(b'{"v":1'[: len(line)]) and "truncated" in str(error)
    except RecursionError:
        return False
    return False


def changed(link: Link) -> str:
    """What is wrong with a line whose hash is not that of its bytes and of the line before."""
    return f"line {link.seq} of writer {link.writer} is not as it was written, or the one before it is another one"


def behind_the_end(writer: str) -> str:
    """What is wrong with a line behind the last one that a writer can have."""
    return f"writer {writer} has ended with its `audit.stopped` before this line"


def unsigned(writer: str) -> str:
    """What is wrong with a line before which too many are without a signature."""
    return f"more than {MOST_UNSIGNED} lines of writer {writer} stand here without a signature"


def _lines(first: int, last: int) -> str:
    return f"line {first}" if first == last else f"lines {first} to {last}"
