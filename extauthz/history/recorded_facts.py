"""The facts of a record, as conditions see them when it is decided again.

The rule kept here: what the record does not hold leaves a trace when it is looked at, also where it would only be
asked whether it is there, and also where a signal that can't be evaluated would count.
"""

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, NoReturn

from msgspec.structs import replace

from extauthz import cel
from extauthz.policy.asking import ask
from extauthz.policy.candidates import Candidates
from extauthz.policy.context import INPUTS, Inputs, RequestScope
from extauthz.policy.risk_models import RiskModel, Signal
from extauthz.record.audit_line import DecisionLine, DeviceLine, FactsLine, SignalLine, TravelLine
from extauthz.values.assessment import Heard
from extauthz.values.facts import Question

Miss = Callable[[str], NoReturn]
"""Notes that something was looked at in vain, and raises `EvalError`."""
NOTHING_RECORDED: Final = FactsLine()
_WORDS: Final = {"place": "travel", "raised": "risk"}


class RecordedAnswers(Mapping[Question, Any]):
    """The answers that a record holds, to questions of the policies that decide again."""

    def __init__(self, known: Mapping[Question, Any], miss: Miss) -> None:
        self._known = known
        self._miss = miss

    def __getitem__(self, question: Question) -> object:
        if question not in self._known:
            self._miss(_WORDS.get(question.kind, question.kind))
        return self._known[question]

    def __iter__(self) -> Iterator[Question]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def known_answers(candidates: Candidates, line: FactsLine, scope: RequestScope) -> Mapping[Question, Any]:
    """The answers to what these candidates ask, by what their expressions mean. `scope` is that of the record."""
    told: Mapping[str, object] = {**line.rates, **line.seen}
    if not told or not candidates.plan.asks:
        return {}
    given: Any = scope[INPUTS]
    inputs: Inputs = given
    inquiry = ask(
        candidates,
        request=inputs.request,
        identity=inputs.identity,
        facts=inputs.facts,
        now=inputs.now,
        scope=scope,
    )
    return {question: told[meaning] for meaning, question in inquiry.meanings.items() if meaning in told}


class RecordedFields:
    """The fields of a structure as they were; where nobody looked, looking at one leaves a trace."""

    __slots__ = ("_fields", "_miss", "_name")

    def __init__(self, name: str, fields: Mapping[str, object] | None, miss: Miss) -> None:
        self._name = name
        self._fields = fields
        self._miss = miss

    def __getattr__(self, name: str) -> object:
        if self._fields is None:
            self._miss(f"{self._name}.{name}")
        value = self._fields.get(name, cel.UNSET)
        return self._miss(f"{self._name}.{name}") if value is MASKED_FIELD else value


MASKED_FIELD: Final = object()
"""In place of a field that was there and is masked."""


class Missing(Mapping[str, Any]):
    """A mapping that a record does not hold: whatever is looked at leaves a trace."""

    __slots__ = ("_miss", "_name")

    def __init__(self, name: str, miss: Miss) -> None:
        self._name = name
        self._miss = miss

    def __getitem__(self, key: str) -> object:
        self._miss(f"{self._name}.{key}")

    def __contains__(self, key: object) -> bool:
        self._miss(f"{self._name}.{key}")

    def __iter__(self) -> Iterator[str]:
        self._miss(f"{self._name}.*")

    def __len__(self) -> int:
        self._miss(f"{self._name}.*")


def travel_fields(travel: TravelLine | None, miss: Miss) -> RecordedFields:
    """`travel` as it was."""
    if travel is None:
        return RecordedFields("travel", None, miss)
    since = None if travel.since_s is None else _span(travel.since_s)
    told = {"distance_km": travel.distance_km, "speed_kmh": travel.speed_kmh, "since": since}
    return RecordedFields("travel", _given(told), miss)


def device_fields(device: DeviceLine | None, miss: Miss) -> RecordedFields:
    """`device` as it was, but its identifier."""
    if device is None:
        return RecordedFields("device", None, miss)
    age = None if device.age_s is None else _span(device.age_s)
    told = {"id": None if device.id is None else MASKED_FIELD, "known": device.known, "age": age}
    return RecordedFields("device", _given(told), miss)


def reported_fields(reported: Mapping[str, Any] | None, miss: Miss) -> RecordedFields:
    """`reported` as it was."""
    if reported is None:
        return RecordedFields("reported", None, miss)
    told = {name: _moment(value) if name.endswith("_at") else value for name, value in reported.items()}
    return RecordedFields("reported", told, miss)


def _given(fields: Mapping[str, object]) -> Mapping[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def _span(seconds: float) -> cel.Duration:
    return cel.Duration(*_parts(seconds))


def _moment(seconds: float) -> cel.Timestamp:
    return cel.Timestamp(*_parts(seconds))


def _parts(seconds: float) -> tuple[int, int]:
    whole = int(seconds // 1)
    return whole, round((seconds - whole) * 1e9)


class RecordedRisk:
    """How signals came out then: those that are `unchanged`, by their names as `signal_name` has them."""

    def __init__(self, line: DecisionLine, unchanged: frozenset[str], seen: AbstractSet[str], miss: Miss) -> None:
        self._recorded = {(risk.model, one.name): one for risk in line.risk for one in risk.signals}
        self._unchanged = unchanged
        self._seen = seen
        self._miss = miss

    def heard(self, model: RiskModel, scope: Mapping[str, Any]) -> list[Heard]:
        """What every signal comes to: as recorded where it is unchanged, else from what the record holds."""
        return [self._heard(model, signal, scope) for signal in model.signals]

    def _heard(self, model: RiskModel, signal: Signal, scope: Mapping[str, Any]) -> Heard:
        line = self._recorded.get((model.name, signal.name))
        if line is not None and signal_name(model.name, signal.name) in self._unchanged:
            return _as_recorded(signal, line)
        inputs: Inputs = scope[INPUTS]
        heard = signal.heard(scope, None, inputs.now)
        # One that errs would count, but may err for what is masked; and nobody knows when one was raised last.
        if (heard.state == "error" and self._seen) or (signal.lingers and heard.state == "quiet"):
            self._miss(f"risk signal {signal.name}")
        return heard


def signal_name(model: str, signal: str) -> str:
    """The name of a signal among those of rules, which have no colon."""
    return f"risk:{model}/{signal}"


def _as_recorded(signal: Signal, line: SignalLine) -> Heard:
    """The signal as it came out, with the weight that it has now."""
    counted = signal.weight * (line.counted / line.weight)
    return replace(
        signal.quiet, state=line.state, counted=counted, age=line.age_s, error=line.error, reason=signal.reason
    )
