"""Compiled policies: what a load makes of the documents, immutable, and shared by all decisions until the next one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from extauthz.cel import Program
from extauthz.policy.index import Index
from extauthz.stepup.binding import Kind
from extauthz.values.decisions import Deny, Effect, Factor, Mode
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView, empty

Programs = tuple[tuple[str, Program], ...]
"""Names to what computes their values, in the order of the names."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AllowTerms:
    """What an allow changes."""

    headers: Programs = ()
    remove_headers: frozenset[str] = frozenset()
    response_headers: Programs = ()
    query: Programs = ()
    remove_query: frozenset[str] = frozenset()
    metadata: Programs = ()


NOTHING = AllowTerms()
"""The terms of an allow that changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DenyTerms:
    """How a deny answers."""

    answer: Deny


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChallengeTerms:
    """What a challenge asks for; `accepted` are the `amr` values of `factors`. Durations in seconds."""

    factors: tuple[Factor, ...]
    accepted: frozenset[str]
    acr: str | None
    max_age: float
    bind: Kind
    scope: tuple[Program, ...]
    show: Programs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ApproveTerms:
    """What an approval needs. Durations in seconds."""

    min: int
    expires_in: float
    hold: float
    bind: Kind
    scope: tuple[Program, ...]
    show: Programs


Terms = AllowTerms | DenyTerms | ChallengeTerms | ApproveTerms


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Policy:
    """A document's name and variables; those in `per_rule` depend on the captures of the rule that reads them."""

    name: str
    shared: Mapping[str, Program] = field(default_factory=empty)
    per_rule: Mapping[str, Program] = field(default_factory=empty)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rule:
    """A compiled rule. `name` is `policy/rule`; `reads_params` is whether anything in it depends on the captures."""

    name: str
    policy: Policy
    effect: Effect
    mode: Mode
    workloads: tuple[re.Pattern[str], ...]
    when: Program | None
    terms: Terms
    expires: float | None
    reads_params: bool
    description: str

    def fits(self, identity: Identity) -> bool:
        """Whether this caller's workload is one of the rule's."""
        if not self.workloads:
            return True
        workload = identity.workload
        return workload is not None and any(pattern.fullmatch(workload.id) for pattern in self.workloads)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule whose match fields fit, and what its templates captured."""

    rule: Rule
    params: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Candidates:
    """The rules that may speak to one request, in the order of their names."""

    items: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PolicySet:
    """All policies of one load.

    `revision` is `sha256:` and the hash of the normalised documents; `settable_headers` every request header, in
    lower case, that some rule can set.
    """

    revision: str
    settable_headers: frozenset[str]
    rules: tuple[Rule, ...]
    index: Index

    def candidates(self, request: RequestView, identity: Identity) -> Candidates:
        """Step 1 of section 3, first half: the rules whose match fields fit this request and caller."""
        http = request.http
        found = self.index.for_tcp() if http is None else self.index.for_http(http)
        rules = self.rules
        return Candidates(
            tuple(Candidate(rule, params) for number, params in found if (rule := rules[number]).fits(identity))
        )
