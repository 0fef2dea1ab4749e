"""What recorded traffic tells: which routes there are, who uses them, and what nobody uses.

The rule kept here: counts are of records, and what looks critical says by which of three simple signs.
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Final

import msgspec

from extauthz.history.reading import Unreadable
from extauthz.history.recorded import is_decidable, segments_of
from extauthz.history.routes import Path, routes
from extauthz.policy.policy_set import PolicySet
from extauthz.record.audit_line import DecisionLine
from extauthz.values.counting import counted

WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
"""Methods that change something (RFC 9110 section 9.2.1: they are not safe)."""
WORDS: Final = re.compile(
    r"admin|approv|backup|billing|config|credential|debug|delet|export|factor|grant|internal|invoice|key|login|member"
    r"|passw|pay|permission|purge|refund|reset|role|secret|setting|sudo|token|transfer|user|withdraw",
    re.IGNORECASE,
)
"""Words in a path that hint at money, access or many people's data."""
CRITICAL: Final = 2
"""Points from which on a route looks critical: one for a method that writes, two for a word, one for denials."""

Caller = tuple[str, bool]
"""The workload's ID, empty if there was none, and whether there was a user."""


@dataclass(slots=True)
class Seen:
    """What was recorded of one method on one path of one host."""

    allowed: Counter[Caller] = field(default_factory=Counter)
    denied: Counter[Caller] = field(default_factory=Counter)


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Requests of one kind: what was seen on all paths that its template covers; `example` is one of them."""

    host: str
    template: str
    method: str
    example: str
    allowed: Counter[Caller]
    denied: Counter[Caller]

    @property
    def points(self) -> int:
        """How critical it looks."""
        return (self.method in WRITES) + 2 * bool(WORDS.search(self.template)) + bool(self.denied)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it looks critical."""
        word = WORDS.search(self.template)
        return (
            *([f"{self.method} changes something"] if self.method in WRITES else ()),
            *([f"`{word[0]}` in its path"] if word else ()),
            *([counted(self.denied.total(), "denial")] if self.denied else ()),
        )


class Excess(msgspec.Struct, frozen=True):
    """An allow rule whose `workloads` name this one, which never used it."""

    workload: str
    rule: str


@dataclass(slots=True)
class Traffic:
    """What an audit file tells of who used what."""

    records: int = 0
    skipped: int = 0
    malformed: int = 0
    tcp: Counter[str] = field(default_factory=Counter)
    matched: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    allow_rules: set[str] = field(default_factory=set)
    workloads: set[str] = field(default_factory=set)
    _seen: dict[tuple[str, str, Path], Seen] = field(default_factory=lambda: defaultdict(Seen))

    def take(self, line: DecisionLine | Unreadable) -> None:
        """Learn from one record."""
        if isinstance(line, Unreadable):
            self.malformed += 1
            return
        self.records += 1
        if not is_decidable(line):
            self.skipped += 1
            return
        caller = _caller(line)
        self._note_rules(line, caller[0])
        if line.request is None:
            if line.decision == "allow":
                self.tcp[caller[0]] += 1
            return
        segments = segments_of(line.request.path)
        if "" in segments:  # no template can say an empty segment
            self.skipped += 1
            return
        seen = self._seen[line.request.host, line.request.method, segments]
        (seen.denied if line.decision == "deny" else seen.allowed)[caller] += 1

    def _note_rules(self, line: DecisionLine, workload: str) -> None:
        if workload:
            self.workloads.add(workload)
        for one in line.rules:
            if one.effect == "allow":
                self.allow_rules.add(one.rule)
                if one.result == "match":
                    self.matched[one.rule][workload] += 1

    def routes(self) -> list[Route]:
        """The routes of all hosts, by host, template and method."""
        paths: dict[str, set[Path]] = defaultdict(set)
        for host, _, path in self._seen:
            paths[host].add(path)
        templates = {host: routes(found) for host, found in paths.items()}
        grouped: dict[tuple[str, str, str], list[tuple[Path, Seen]]] = defaultdict(list)
        for (host, method, path), seen in self._seen.items():
            grouped[host, templates[host][path], method].append((path, seen))
        return [
            Route(
                host=host,
                template=template,
                method=method,
                example="/" + "/".join(min(group)[0]),
                allowed=sum((seen.allowed for _, seen in group), Counter()),
                denied=sum((seen.denied for _, seen in group), Counter()),
            )
            for (host, template, method), group in sorted(grouped.items())
        ]

    def unused_allows(self, policies: PolicySet | None) -> list[str]:
        """The allow rules that no record was allowed by: of the policies, else of those that the records name."""
        known = self.allow_rules if policies is None else {r.name for r in policies.rules if r.effect == "allow"}
        return sorted(known - self.matched.keys())

    def excess(self, policies: PolicySet) -> list[Excess]:
        """What workloads may do by name and were not seen doing, for those that were seen at all."""
        return [
            Excess(workload, rule.name)
            for workload in sorted(self.workloads)
            for rule in policies.rules
            if rule.effect == "allow"
            and any(pattern.fits(workload) for pattern in rule.place.workloads)
            and not self.matched.get(rule.name, Counter())[workload]
        ]


def _caller(line: DecisionLine) -> Caller:
    identity = line.identity
    if identity is None:
        return "", False
    return identity.workload.id if identity.workload is not None else "", identity.user is not None
