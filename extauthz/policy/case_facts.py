"""The facts that a test, or who explains a request, gives in place of look-ups."""

from typing import Final, assert_never

from msgspec.structs import replace

from extauthz.policy.asking import ask
from extauthz.policy.candidates import Candidates
from extauthz.policy.fact_models import BaselineModel, FactsModel
from extauthz.policy.sessions import session_ages
from extauthz.risk.addresses import AddressSet, parse_entry
from extauthz.values.facts import NO_LOCAL, LastPlace, Local, Question
from extauthz.values.grants import Facts, SessionTimes
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView

_NONE: Final = BaselineModel(count=0)


def given_facts(
    given: FactsModel,
    candidates: Candidates,
    *,
    request: RequestView,
    identity: Identity,
    now: float,
    around: Local = NO_LOCAL,
) -> Facts:
    """The facts for the candidates of this request and identity, all but the grants.

    `around` is what is known besides what is given. `now` as `decide` has it.
    """
    user = identity.user
    lists = {name: AddressSet(map(parse_entry, entries)).holds for name, entries in given.addresses.items()}
    device = given.device.model_dump(exclude_none=True)
    local = Facts(
        session=None if user is None else session_ages(user, _seen(given, now), now=now),
        device=device,
        geo=given.geo.model_dump(exclude_none=True),
        attributes=given.sources,
        reported=given.reported.model_dump(exclude_none=True),
        local=replace(around, addresses={**around.addresses, **lists}),
    )
    inquiry = ask(candidates, request=request, identity=identity, facts=local, now=now)
    return replace(local, answers={question: _answer(question, given, now) for question in inquiry.questions})


def _seen(given: FactsModel, now: float) -> SessionTimes | None:
    session = given.session
    if session is None:
        return None
    age = session.idle if session.age is None else session.age
    return SessionTimes(started_at=now - age, last_seen=now - session.idle)


def _answer(question: Question, given: FactsModel, now: float) -> object:
    match question.kind:
        case "rate":
            key, window = question.args
            fitting = (one for one in given.rates if one.key == key and one.window in (None, window))
            return max((one.count for one in fitting), default=1)
        case "seen":
            return question.args[0] in given.seen
        case "baseline":
            return given.baselines.get(str(question.args[0]).rpartition("/")[2], _NONE)
        case "place":
            last = given.last_place
            if last is None:
                return None
            return LastPlace(
                latitude=last.latitude, longitude=last.longitude, accuracy_km=last.accuracy_km, at=now - last.ago
            )
        case "raised":
            return {name: now - ago for name, ago in given.raised.items()}
        case _:
            assert_never(question.kind)
