"""All policies of one load, and the look-up of the rules that may speak to a request."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from extauthz.policy.candidates import Candidates
from extauthz.policy.captures import layout
from extauthz.policy.index import Index, Spot
from extauthz.policy.plan import Plan
from extauthz.policy.position import Position
from extauthz.policy.recent import Recent
from extauthz.policy.risk_models import RiskModel
from extauthz.policy.rules import Rule
from extauthz.policy.standing import Standing
from extauthz.values.identity import Identity
from extauthz.values.request import HttpRequest, RequestView

MOST_PLANS: Final = 16_384
"""Plans that are remembered: one for each kind of caller at each place where other rules speak."""
MOST_STANDINGS: Final = 8_192
"""Callers at places, with a method, of which it is remembered what follows from that."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PolicySet:
    """All policies of one load.

    `revision` is `sha256:` and the hash of the normalised documents; `settable_headers` every request header, in
    lower case, that some rule can set; `risk_models` are in the order of their names. What is learnt while it decides
    changes no decision; `recent` is of it where `candidates` looks first.
    """

    revision: str
    settable_headers: frozenset[str]
    rules: tuple[Rule, ...]
    index: Index
    risk_models: tuple[RiskModel, ...] = ()
    _plans: dict[Spot, Plan] = field(default_factory=dict, init=False, repr=False)
    _standings: OrderedDict[tuple[Position, str, int], Candidates] = field(
        default_factory=OrderedDict, init=False, repr=False
    )
    recent: Recent = field(default_factory=Recent, init=False, repr=False)

    def candidates(self, request: RequestView, identity: Identity) -> Candidates:
        """Step 1 of section 3, first half: the rules whose match fields fit this request and caller."""
        http = request.http
        if http is None:
            return Candidates(self._plan(None, identity, None))
        recent = self.recent.candidates(http, identity)
        if recent is not None:
            return recent
        position = self.index.position(http)
        key = position, http.method, id(identity)
        stood = self._standings.get(key)
        if stood is not None and stood.is_of(identity):
            self.recent.remember(http, identity, self.index.start(http.host), position, stood)
            return stood
        plan = self._plan(http, identity, position)
        candidates = Candidates(plan, Standing(identity))
        if position.is_kept and plan.is_kept:
            # One goes for each that comes: nobody waits until thousands have gone. Each step is one for all threads.
            if len(self._standings) >= MOST_STANDINGS:
                self._standings.popitem(last=False)
            self._standings[key] = candidates
        return candidates

    def _plan(self, http: HttpRequest | None, identity: Identity, position: Position | None) -> Plan:
        workload = identity.workload
        spot = self.index.find(http, None if workload is None else workload.id, position)
        plan = self._plans.get(spot)
        if plan is None:
            plan = self._learn(spot)
        return plan.obeyed_by(identity) if plan.is_staged else plan

    def _learn(self, spot: Spot) -> Plan:
        rules = self.rules
        plan = Plan([(rules[number], layout(captures)) for number, captures in self.index.standing(spot)])
        if spot[0].is_kept:
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()  # nobody has so many kinds of callers but who tries to
            self._plans[spot] = plan
        return plan
