"""Audit files together: every chain in them from its first line to its last, whatever files these stand in.

The rule kept here: files may be given in any order, for the chains tell theirs; and nothing passes in silence. A chain
begins with its first line, or behind one that the audit itself says was removed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import msgspec

from extauthz.errors import ExtauthzError, failure_of
from extauthz.files import open_file
from extauthz.history.chains import (
    MOST_UNSIGNED,
    FileChains,
    Finding,
    Findings,
    KnownHead,
    Remark,
    Stretch,
    behind_the_end,
    changed,
    check_signature,
    unsigned,
)
from extauthz.record.chain import Head, hash_of
from extauthz.record.file_lines import lines_in
from extauthz.values.counting import counted
from extauthz.values.instant import instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """The lines of one writer, by their numbers: the first and the last one that there are, the place of the last, and
    the last one that a signature covers (0 where none does, or none was looked at)."""

    name: str
    first: int
    last: int
    file: str
    line: int
    signed: int
    stopped: bool


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `count` is how many mistakes there are; of very many, `mistakes` are the first ones."""

    files: int
    lines: int
    writers: tuple[Writer, ...]
    mistakes: tuple[Finding, ...]
    count: int
    remarks: tuple[Remark, ...]
    signatures: bool


@dataclass(slots=True)
class Verifying:
    """Takes files and then tells. `keys` are public keys by id, `None` to leave signatures aside; `heads` are the ends
    that the store knows, `None` to leave these aside."""

    keys: Mapping[str, str] | None = None
    heads: Sequence[KnownHead] | None = None
    lines: int = 0
    _findings: Findings = field(default_factory=Findings)
    _files: list[FileChains] = field(default_factory=list)

    def read(self, path: Path) -> Iterator[int]:
        """Take a whole file; the sizes of its lines come as they are taken.

        Raises:
            ExtauthzError: the file can't be read.
        """
        known = {head.writer: head for head in self.heads or ()}
        chains = FileChains(path, self._findings, keys=self.keys, heads=known)
        self._files.append(chains)
        number = 0
        try:
            with open_file(path) as file:
                for number, raw in enumerate(lines_in(file), 1):
                    chains.take(number, raw)
                    yield len(raw)
        except OSError as error:
            raise ExtauthzError(f"{path}: can't read the audit file: {failure_of(error)}") from error
        self.lines += number

    def result(self) -> Verified:
        """What all the files come to together."""
        removed: dict[str, set[tuple[int, str]]] = {}
        for one in self._files:
            for writer, ends in one.removed.items():
                removed.setdefault(writer, set()).update(ends)
        writers = [
            self._writer(name, stretches, removed.get(name, set())) for name, stretches in self._stretches().items()
        ]
        if self.heads is not None:
            self._compare(self.heads, {one.name: one for one in writers}, removed)
        return Verified(
            files=len(self._files),
            lines=self.lines,
            writers=tuple(writers),
            mistakes=tuple(sorted(self._findings.mistakes)),
            count=self._findings.count,
            remarks=tuple(sorted(self._findings.remarks)),
            signatures=self.keys is not None,
        )

    def _stretches(self) -> dict[str, list[Stretch]]:
        """What there is of each writer, in the order of the chain."""
        found: dict[str, list[Stretch]] = {}
        for one in self._files:
            for name, stretch in one.stretches.items():
                found.setdefault(name, []).append(stretch)
        for stretches in found.values():
            stretches.sort(key=lambda stretch: stretch.first.seq)
        return found

    def _writer(self, name: str, stretches: list[Stretch], removed: set[tuple[int, str]]) -> Writer:
        """Join what several files have of one writer."""
        first, last = stretches[0], stretches[-1]
        if not first.proven:
            ends = [(seq, hash_) for seq, hash_ in removed if seq == first.first.seq - 1]
            if ends:
                self._join(first, ends)
            else:
                text = (
                    f"writer {name} begins with line {first.first.seq} here; what was before is in none of the files, "
                    "and no `audit.removed` tells of it"
                )
                self._findings.tell(first.file, first.first_line, "missing", text)
        for before, stretch in pairwise(stretches):
            self._follow(name, before, stretch)
        if self.keys is not None:
            self._look_for_signatures(name, stretches)
        signed = max((one.signed for one in stretches if one.first_signed is not None), default=0)
        if not last.stopped:
            text = f"writer {name} has no end here: it still runs, was killed, or what followed was cut off"
            bare = last.seq - max(signed, first.first.seq - 1) if self.keys is not None else 0
            if bare:
                text += f"; {counted(bare, 'line')} at its end no signature covers, and somebody else may have written"
            self._findings.remark(last.file, last.line, text)
        return Writer(
            name=name,
            first=first.first.seq,
            last=last.seq,
            file=last.file,
            line=last.line,
            signed=signed if self.keys is not None else 0,
            stopped=last.stopped,
        )

    def _follow(self, name: str, before: Stretch, stretch: Stretch) -> None:
        """What one file has of a writer must go on where the one before ends."""
        due, seq = before.seq + 1, stretch.first.seq
        place = f"{before.file}:{before.line}"
        if seq > due and all(end + 1 != seq for end, _ in before.heads):
            missing = f"line {due}" if seq == due + 1 else f"lines {due} to {seq - 1}"
            text = f"{missing} of writer {name} are missing between {place} and this one"
            self._findings.tell(stretch.file, stretch.first_line, "missing", text)
        elif seq < due and all(end + 1 != seq for end, _ in before.heads):
            text = f"this says that it is line {seq} of writer {name}, but line {before.seq} stands at {place}"
            self._findings.tell(stretch.file, stretch.first_line, "repeated", text)
        elif before.stopped:
            self._findings.tell(stretch.file, stretch.first_line, "stray", behind_the_end(name))
        else:
            self._join(stretch, before.ends())

    def _look_for_signatures(self, name: str, stretches: Sequence[Stretch]) -> None:
        """Not too many lines may go without one from one file to the next, either."""
        covered = stretches[0].signed
        for stretch in stretches[1:]:
            if (stretch.first_signed or stretch.seq) - covered > MOST_UNSIGNED:
                self._findings.tell(stretch.file, stretch.first_line, "signature", unsigned(name))
                covered = stretch.seq
            if stretch.first_signed is not None:
                covered = stretch.signed

    def _join(self, stretch: Stretch, ends: Sequence[tuple[int, str]]) -> None:
        """Prove the first line of a stretch, now that what may be before it is known."""
        first = stretch.first
        for seq, hash_ in ends:
            if seq + 1 == first.seq and hash_of(hash_, first.body) == first.hash:
                if stretch.first_event is not None:
                    before = Head(first.writer, seq, hash_)
                    check_signature(stretch, stretch.first_line, stretch.first_event, before, self.keys, self._findings)
                return
        if not stretch.first_told:
            self._findings.tell(stretch.file, stretch.first_line, "changed", changed(first))
        second = stretch.second
        if second is None or stretch.second_finding is None:
            return
        # With the hash alone changed, the second line does not follow what the first one says, but what it was.
        was = (hash_of(hash_, first.body) for seq, hash_ in ends if seq + 1 == first.seq)
        if any(second.seq == first.seq + 1 and hash_of(one, second.body) == second.hash for one in was):
            self._findings.take_back(stretch.second_finding)

    def _compare(
        self, heads: Iterable[KnownHead], writers: Mapping[str, Writer], removed: Mapping[str, set[tuple[int, str]]]
    ) -> None:
        """Hold the ends of the chains against those that the store knows."""
        known: set[str] = set()
        removed_until = max((one.removed_until for one in self._files), default=0.0)
        for head in heads:
            known.add(head.writer)
            writer = writers.get(head.writer)
            gone = max((seq for seq, _ in removed.get(head.writer, ())), default=0)
            if writer is not None and writer.last < head.seq:
                text = (
                    f"the lines of writer {head.writer} were cut off behind line {writer.last}: "
                    f"the store knows of line {head.seq}, written at {instant(head.at)} to {head.file}"
                )
                self._findings.tell(writer.file, writer.line, "cut", text)
            elif writer is None and gone < head.seq and head.at > removed_until:
                text = (
                    f"all lines of writer {head.writer} are missing: "
                    f"the store knows of line {head.seq}, written at {instant(head.at)} to {head.file}"
                )
                self._findings.tell("", 0, "vanished", text)
            elif writer is not None and writer.last > head.seq:
                text = f"writer {writer.name} has lines behind line {head.seq}, the last one that the store knows"
                self._findings.remark(writer.file, writer.line, text)
        for name in writers.keys() - known:
            writer = writers[name]
            text = f"the store does not know writer {name}"
            if self.keys is not None and not writer.signed:
                self._findings.tell(writer.file, writer.line, "signature", f"{text}, and nothing of it is signed")
            else:
                self._findings.remark(writer.file, writer.line, text)
