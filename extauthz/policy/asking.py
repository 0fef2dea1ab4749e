"""What the candidate rules of one request ask: the arguments of their questions, worked out before the look-up.

The rule kept here: every question of a candidate is asked, once, whatever its condition comes to without it: what is
counted must not depend on what is decided. One whose arguments err is not asked; its condition errs alike.
"""

from collections.abc import Mapping

import msgspec

from extauthz import cel
from extauthz.policy.candidates import Candidates, segments_of
from extauthz.policy.context import Inputs, RequestScope, VariableScope
from extauthz.policy.fact_views import PLACE
from extauthz.policy.functions import question_of
from extauthz.policy.plan import Scope
from extauthz.values.facts import Question
from extauthz.values.grants import Facts
from extauthz.values.identity import Identity
from extauthz.values.request import EMPTY, RequestView


class Inquiry(msgspec.Struct, frozen=True):
    """The questions of one request, each once, and by question the number that its baseline is to remember.

    `meanings` are the questions of calls by what their expression means in every request.
    """

    questions: tuple[Question, ...] = ()
    numbers: Mapping[Question, float] = EMPTY
    meanings: Mapping[str, Question] = EMPTY


NOTHING_ASKED = Inquiry()


def ask(
    candidates: Candidates,
    *,
    request: RequestView,
    identity: Identity,
    facts: Facts,
    now: float,
    scope: RequestScope | None = None,
) -> Inquiry:
    """What to look up for the candidates of this request and identity; `facts` are those that need no look-up.

    `scope` as `decide` has it.
    """
    plan = candidates.plan.at(now)
    wanted = plan.needs.all
    if not plan.asks and wanted.isdisjoint(("place", "raised")):
        return NOTHING_ASKED
    first: Scope = RequestScope(Inputs(request, identity, facts, now)) if scope is None else VariableScope(scope, EMPTY)
    scopes = plan.scopes(first, segments_of(request))
    questions: dict[Question, None] = {}
    numbers: dict[Question, float] = {}
    meanings: dict[str, Question] = {}
    for one, at in plan.asks:
        names = scopes[at]
        try:
            question = question_of(one.kind, [argument(names) for argument in one.arguments])
        except cel.EvalError:
            continue
        questions[question] = None
        if one.meaning:
            meanings[one.meaning] = question
        if one.number is not None:
            try:
                numbers[question] = float(one.number.evaluate(names))
            except (cel.EvalError, OverflowError):
                continue
    if "place" in wanted:
        questions[PLACE] = None
    for model, _ in plan.models:
        if model.remembered is not None:
            questions[model.remembered] = None
    return Inquiry(tuple(questions), numbers, meanings)
