"""All policies of one load, and the look-up of the rules that may speak to a request."""

from dataclasses import dataclass, field
from typing import Final

from extauthz.policy.candidates import Candidates
from extauthz.policy.captures import layout
from extauthz.policy.index import Index, Spot
from extauthz.policy.plan import Plan
from extauthz.policy.risk_models import RiskModel
from extauthz.policy.rules import Rule
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView

MOST_PLANS: Final = 16_384
"""Plans that are remembered: one for each kind of caller at each place where other rules speak."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PolicySet:
    """All policies of one load.

    `revision` is `sha256:` and the hash of the normalised documents; `settable_headers` every request header, in
    lower case, that some rule can set; `risk_models` are in the order of their names. What is learnt while it decides
    changes no decision.
    """

    revision: str
    settable_headers: frozenset[str]
    rules: tuple[Rule, ...]
    index: Index
    risk_models: tuple[RiskModel, ...] = ()
    _plans: dict[Spot, Plan] = field(default_factory=dict, init=False, repr=False)

    def candidates(self, request: RequestView, identity: Identity) -> Candidates:
        """Step 1 of section 3, first half: the rules whose match fields fit this request and caller."""
        http, workload = request.http, identity.workload
        spot = self.index.find(http, None if workload is None else workload.id)
        plan = self._plans.get(spot)
        if plan is None:
            plan = self._learn(spot)
        if plan.is_staged:
            plan = plan.obeyed_by(identity)
        return Candidates(plan, () if http is None else http.segments)

    def _learn(self, spot: Spot) -> Plan:
        rules = self.rules
        plan = Plan([(rules[number], layout(captures)) for number, captures in self.index.standing(spot)])
        if spot[0].is_kept:
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()  # nobody has so many kinds of callers but who tries to
            self._plans[spot] = plan
        return plan
