"""What a request leaves behind for later ones: what its subject is used to do, and which signs of risk it gave.

The rule kept here: only a request that is allowed in the end makes anything usual. A sign of risk is remembered
whatever was decided, so that nobody gets rid of it by being denied.
"""

from extauthz.check.gathering import Gathered
from extauthz.policy.fact_views import PLACE, geo_of
from extauthz.risk.travel import place_of
from extauthz.store.habits import Habit, Number, Raised
from extauthz.values.decisions import Allow, Evaluation
from extauthz.values.facts import LastPlace
from extauthz.values.identity import Identity


def left_by(identity: Identity, gathered: Gathered, evaluation: Evaluation, *, at: float) -> Habit | None:
    """What a request at `at` (seconds since the epoch) leaves behind, `None` if nothing."""
    subject = identity.subject
    if subject is None:
        return None
    raised = tuple(
        Raised(assessment.model, one.name, at)
        for assessment in evaluation.risk
        for one in assessment.heard
        if one.remember is not None
    )
    if not isinstance(evaluation.decision, Allow):
        return Habit(subject=subject, at=at, raised=raised) if raised else None
    inquiry, facts = gathered.inquiry, gathered.facts
    seen = tuple(str(question.args[0]) for question in inquiry.questions if question.kind == "seen")
    numbers = tuple(Number(baseline, value) for baseline, value in inquiry.numbers.items())
    here = place_of(geo_of(facts, identity.client_ip)) if PLACE in inquiry.questions else None
    place = (
        None
        if here is None
        else LastPlace(latitude=here.latitude, longitude=here.longitude, accuracy_km=here.accuracy_km, at=at)
    )
    if not (raised or seen or numbers or place):
        return None
    return Habit(subject=subject, at=at, seen=seen, numbers=numbers, place=place, raised=raised)
