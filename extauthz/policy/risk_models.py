"""Compiled `kind: RiskModel` documents: what the name `risk` stands for in the conditions of a policy.

A model is evaluated when a condition first reads `risk`, once for one request, whatever policies use it. The rule kept
here: a signal that can't be evaluated counts; only where the store could not be asked is nothing said at all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from msgspec.structs import replace

from extauthz import cel
from extauthz.policy.context import INPUTS, RECALL, Evaluated, Inputs, VariableScope
from extauthz.policy.reads import READS_NOTHING, RISK, Reads
from extauthz.risk.score import FORGOTTEN, Level, assess, counted
from extauthz.values.assessment import Assessment, Heard, State
from extauthz.values.facts import Question
from extauthz.values.request import EMPTY, empty

MOST_KEPT: Final = 256
"""Ways in which the conditions of one model can come out that are remembered with what they come to."""

_OUTSIDE_THE_STORE: Final = frozenset({"attributes"})

Held = bool | cel.EvalError
"""What the condition of a signal came to."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Signal:
    """One signal of a model; `half_life` in seconds.

    With a half-life it fades from `since` on. Without `since` it lingers: the store remembers when its condition was
    true last, and it fades from then on.
    """

    name: str
    when: cel.Program
    weight: float
    half_life: float | None = None
    since: cel.Program | None = None
    reason: str
    raised: Heard = field(init=False)
    quiet: Heard = field(init=False)

    def __post_init__(self) -> None:
        """Make once what it comes to most of the time."""
        remember = FORGOTTEN * self.half_life if self.half_life is not None and self.lingers else None
        raised = Heard(
            name=self.name,
            state="raised",
            weight=self.weight,
            counted=self.weight,
            reason=self.reason,
            remember=remember,
        )
        object.__setattr__(self, "raised", raised)
        object.__setattr__(self, "quiet", replace(raised, state="quiet", counted=0.0, remember=None))

    @property
    def lingers(self) -> bool:
        """Whether it counts for a while after its condition was true."""
        return self.half_life is not None and self.since is None

    def heard(self, scope: Mapping[str, Any], last: float | None, now: float) -> Heard:
        """What it comes to; `last` is when it was raised last, as far as anybody knows and if it lingers."""
        try:
            holds = self.when.evaluate(scope) is True
        except cel.EvalError as error:
            return self.told(error, scope, last, now)
        return self.told(holds, scope, last, now)

    def told(self, holds: Held, scope: Mapping[str, Any], last: float | None, now: float) -> Heard:
        """What it comes to when its condition came to `holds`."""
        if isinstance(holds, cel.EvalError):
            return self._failed(holds)
        if self.half_life is None:
            return self.raised if holds else self.quiet
        if self.since is None:
            if holds or last is None:
                return self.raised if holds else self.quiet
            return self._since(last, now, "fading")
        if not holds:
            return self.quiet
        try:
            moment: cel.Timestamp = self.since.evaluate(scope)
        except cel.EvalError as error:
            return self._failed(error)
        return self._since(moment.seconds + moment.nanos / 1e9, now, "raised")

    def _since(self, moment: float, now: float, state: State) -> Heard:
        age = max(0.0, now - moment)
        left = counted(self.weight, half_life=self.half_life, age=age)
        return replace(self.raised, state=state, counted=left, age=age, remember=None) if left else self.quiet

    def _failed(self, error: cel.EvalError) -> Heard:
        """What it comes to where nobody knows whether it is raised."""
        return replace(self.raised, state="error", error=str(error), remember=None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RiskModel:
    """A compiled model: its signals in the order of their names, its levels from the lowest.

    `variables` are its own, by their whole names, `constants` those of the definitions. `reads` is what must be looked
    up for it.
    """

    name: str
    signals: tuple[Signal, ...]
    levels: tuple[Level, ...]
    variables: Mapping[str, cel.Program] = field(default_factory=empty)
    constants: Mapping[str, object] = field(default_factory=empty)
    reads: Reads = READS_NOTHING
    asks_the_store: bool = field(init=False)
    remembered: Question | None = field(init=False)
    _reads_no_own: bool = field(init=False, repr=False)
    _conditions: Callable[[Mapping[str, Any]], Sequence[object]] = field(init=False, repr=False)
    _known: dict[tuple[Held, ...], Assessment] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        """Work out once what every evaluation asks."""
        object.__setattr__(self, "asks_the_store", bool(self.reads.lookups - _OUTSIDE_THE_STORE))
        object.__setattr__(self, "_reads_no_own", not self.variables and not self.constants)
        object.__setattr__(self, "_conditions", cel.together([signal.when for signal in self.signals]) or self._each)
        lingers = any(signal.lingers for signal in self.signals)
        object.__setattr__(self, "remembered", Question("raised", (self.name,)) if lingers else None)

    def evaluate(self, scope: Mapping[str, Any]) -> Assessment:
        """What the model makes of a request, of which `scope` has the names, and the variables of this model.

        Raises `EvalError` if the store could not be asked, so that nobody knows what it would have said.
        """
        if self._reads_no_own and isinstance(scope, VariableScope):
            scope = scope.outer  # where it need not look for each name in two places
        inputs: Inputs = scope[INPUTS]
        facts = inputs.facts
        if facts.unfetched and self.asks_the_store:
            raise cel.EvalError("`risk` could not be worked out: the store is out of reach")
        recall: Recall | None = scope[RECALL]
        if recall is not None:
            return assess(self.name, recall.heard(self, scope), self.levels)
        last = EMPTY if self.remembered is None else facts.answers.get(self.remembered, EMPTY)
        held: list[Held]
        settled = not last
        try:
            held = [value is True for value in self._conditions(scope)]
        except cel.EvalError:
            held, settled = [_held(signal.when.evaluate, scope) for signal in self.signals], False
        # Most requests come out as others did; what fades with time, and what errs, comes to something else each time.
        outcome = tuple(held)
        if settled and (known := self._known.get(outcome)) is not None:
            return known
        heard = [
            signal.told(holds, scope, last.get(signal.name), inputs.now)
            for signal, holds in zip(self.signals, held, strict=True)
        ]
        assessment = assess(self.name, heard, self.levels)
        since = any(
            holds is True and signal.since is not None for signal, holds in zip(self.signals, held, strict=True)
        )
        if settled and not since and len(self._known) < MOST_KEPT:
            self._known[outcome] = assessment
        return assessment

    def _each(self, scope: Mapping[str, Any]) -> Sequence[object]:
        """What every condition comes to; raises `EvalError` if any errs."""
        return [signal.when.evaluate(scope) for signal in self.signals]


def _held(evaluate: Callable[[Mapping[str, Any]], Any], scope: Mapping[str, Any]) -> Held:
    try:
        return evaluate(scope) is True
    except cel.EvalError as error:
        return error


class Recall(Protocol):
    """Knows how signals came out when a recorded request was decided."""

    def heard(self, model: RiskModel, scope: Mapping[str, Any]) -> list[Heard]:
        """What every signal of a model comes to. Raises `EvalError` if the record does not hold what it takes."""


def scope_of(model: RiskModel, outer: dict[str, object]) -> VariableScope:
    """The names of an outer scope, the variables of a model, and `risk`, which is evaluated in it when it is read."""
    return VariableScope(outer, programs_of(model), model.constants)


def programs_of(model: RiskModel) -> Mapping[str, Evaluated]:
    """What is evaluated in the scope of a model."""
    return {**model.variables, RISK: model}
