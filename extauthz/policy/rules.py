"""Compiled rules: what a load makes of the documents, immutable, and shared by all decisions until the next one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from extauthz.approval.terms import Terms
from extauthz.cel import Program
from extauthz.policy.comparisons import Comparison, comparison_of
from extauthz.policy.index import Place
from extauthz.policy.reads import Reads
from extauthz.policy.risk_models import RiskModel
from extauthz.policy.seen import NOTHING_SEEN, Seen, seen_of
from extauthz.policy.staging import Staged
from extauthz.policy.standing import is_steady
from extauthz.stepup.binding import Kind
from extauthz.values.approvals import Stance
from extauthz.values.decisions import Deny, Effect, Factor, Mode, Outcome, RuleResult, UserVerification
from extauthz.values.identity import Identity
from extauthz.values.request import empty

Programs = tuple[tuple[str, Program], ...]
"""Names to what computes their values, in the order of the names."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AllowTerms:
    """What an allow changes."""

    headers: Programs = ()
    append_headers: Programs = ()
    remove_headers: frozenset[str] = frozenset()
    response_headers: Programs = ()
    append_response_headers: Programs = ()
    query: Programs = ()
    remove_query: frozenset[str] = frozenset()
    metadata: Programs = ()
    sets_headers_alone: bool = field(init=False)
    """Whether it changes nothing but headers of the request that it sets."""
    is_steady: bool = field(init=False)
    """Whether its values are the same for all requests that stand alike."""

    def __post_init__(self) -> None:
        """Look at what there is once."""
        programs = [program for _, block in self.blocks for _, program in block]
        object.__setattr__(self, "is_steady", all(is_steady(program.tree) for program in programs))
        more = (
            self.append_headers
            or self.remove_headers
            or self.response_headers
            or self.append_response_headers
            or self.query
            or self.remove_query
            or self.metadata
        )
        object.__setattr__(self, "sets_headers_alone", not more)

    @property
    def blocks(self) -> tuple[tuple[str, Programs], ...]:
        """The expressions, under the name of the block that they stand in."""
        return (
            ("headers", self.headers),
            ("append_headers", self.append_headers),
            ("response_headers", self.response_headers),
            ("append_response_headers", self.append_response_headers),
            ("query", self.query),
            ("metadata", self.metadata),
        )


NOTHING = AllowTerms()
"""The terms of an allow that changes nothing."""


class DenyTerms(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """How a deny answers: with `answer`, and what these make of the request beside it or in its place."""

    answer: Deny
    headers: Programs = ()
    body: Program | None = None

    @property
    def is_steady(self) -> bool:
        """Whether it is the same for all requests that stand alike."""
        programs = [program for _, program in self.headers] + ([] if self.body is None else [self.body])
        return all(is_steady(program.tree) for program in programs)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChallengeTerms:
    """What a challenge asks for; `accepted` is what grants that meet it say. Durations in seconds."""

    factors: tuple[Factor, ...]
    accepted: frozenset[str]
    acr: str | None
    user_verification: UserVerification
    accept_token: bool
    max_age: float
    bind: Kind
    scope: tuple[Program, ...]
    bound_headers: tuple[str, ...]
    show: Programs


class AutoTerms(NamedTuple):
    """An answer that needs nobody, where `when` is true, and its word for why."""

    when: Program
    answer: Stance
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ApproveTerms:
    """What an approval needs; `voting` is by what answers count. Durations in seconds.

    `bound_headers` are those that `bind: request` takes in beside its own, `glass_factors` any one of which whoever
    breaks the glass has to prove.
    """

    expires_in: float
    hold: float
    bind: Kind
    scope: tuple[Program, ...]
    bound_headers: tuple[str, ...]
    show: Programs
    auto: tuple[AutoTerms, ...]
    glass_factors: tuple[Factor, ...]
    voting: Terms


EffectTerms = AllowTerms | DenyTerms | ChallengeTerms | ApproveTerms


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Policy:
    """A document's name and variables; those in `per_rule` depend on the captures of the rule that reads them.

    `constants` are the lists and constants of all definitions, under their whole names.
    """

    name: str
    shared: Mapping[str, Program] = field(default_factory=empty)
    per_rule: Mapping[str, Program] = field(default_factory=empty)
    constants: Mapping[str, object] = field(default_factory=empty)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rule:
    """A compiled rule. `name` is `policy/rule`; `reads_params` is whether anything in it depends on the captures,
    `reads_variables` on variables, lists and constants of definitions, or on the risk, `reads` what must be looked up
    for it, that for `risk`, the model that it reads, included.

    `results` are how it can come out without an error. `place` is what the index finds it by, kept for people who ask
    why it was not found.
    """

    name: str
    policy: Policy
    place: Place
    effect: Effect
    mode: Mode | Staged
    when: Program | None
    terms: EffectTerms
    audit_required: bool
    expires: float | None
    reads_params: bool
    reads_variables: bool
    reads: Reads
    risk: RiskModel | None
    description: str
    results: Mapping[tuple[Mode, Outcome], RuleResult]
    asks_for: frozenset[str] | None = field(init=False)
    """The headers by which its condition comes to the same for all requests that stand alike; `None` if by more."""
    comparison: Comparison | None = field(init=False)
    """What its condition compares, if it does nothing else."""
    seen: Seen | None = field(init=False)
    """What its condition sees; `None` if that is more than can be told of it."""

    def __post_init__(self) -> None:
        """Look at the condition once."""
        constants, variables = self.policy.constants, {**self.policy.shared, **self.policy.per_rule}
        seen = NOTHING_SEEN if self.when is None else seen_of(self.when.tree, constants, variables)
        object.__setattr__(self, "seen", seen)
        object.__setattr__(self, "asks_for", None if seen is None else seen.asks_for)
        object.__setattr__(self, "comparison", None if self.when is None else comparison_of(self.when.tree, constants))

    def mode_for(self, identity: Identity) -> Mode:
        """Whether the rule is obeyed for this caller, or in shadow."""
        mode = self.mode
        return mode if isinstance(mode, str) else mode.mode_for(self.name, identity)


class Candidate(NamedTuple):
    """A rule whose match fields fit, what its templates captured, and whether it is obeyed for this caller."""

    rule: Rule
    params: Mapping[str, str]
    mode: Mode
