"""The functions of conditions whose values must be asked for: `rate`, `seen`, `baseline`.

What a call asks is worked out from its arguments before the look-up, and again when it is evaluated: both go through
`question_of`, so that they can't differ. The rule kept here: what was not answered is an error, never a value.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from extauthz import cel
from extauthz.values.facts import Kind, Question
from extauthz.values.grants import Facts

ANSWERS: Final = "@answers"
"""The variable under which these functions find the facts."""
LONGEST_KEY: Final = 256
"""Characters of a key, which may come from a client."""
SHORTEST_WINDOW, LONGEST_WINDOW = 1.0, 31 * 86_400.0
"""Seconds over which `rate` counts."""

_QUANTILE: Final = cel.Field(cel.DOUBLE, optional=True)
BASELINE: Final = cel.StructType(
    "baseline", {"count": cel.INT, "p50": _QUANTILE, "p90": _QUANTILE, "p95": _QUANTILE, "p99": _QUANTILE}
)
ASKING: Final[Mapping[str, Kind]] = {"rate": "rate", "seen": "seen", "baseline": "baseline"}
"""The functions, and what they ask."""


def question_of(kind: Kind, values: Sequence[Any]) -> Question:
    """What a call with these arguments asks. Raises `EvalError` for one that nobody may ask."""
    match kind, values:
        case "rate", (str() as key, cel.Duration() as window):
            seconds = window.seconds + window.nanos / 1e9
            if not SHORTEST_WINDOW <= seconds <= LONGEST_WINDOW:
                raise cel.EvalError("the window of `rate` is from a second to 31 days")
            return Question("rate", (_key(kind, key), seconds))
        case "seen", (str() as key,):
            return Question("seen", (_key(kind, key),))
        case "baseline", (str() as number, str() as key):
            return Question("baseline", (number, _key(kind, key)))
        case _:
            raise cel.EvalError(f"`{kind}` does not take these arguments")


def _key(function: str, key: str) -> str:
    if len(key) > LONGEST_KEY:
        raise cel.EvalError(f"the key of `{function}` is longer than {LONGEST_KEY} characters")
    return key


def answer(facts: Facts, question: Question) -> Any:  # noqa: ANN401 - each kind has its own
    """The answer to a question. Raises `EvalError` if there is none."""
    try:
        return facts.answers[question]
    except KeyError:
        name = _WORDS.get(question.kind, question.kind)
        raise cel.EvalError(f"`{name}` could not be looked up") from None


class Usual(Protocol):
    """What is usual: of `count` numbers half were at most `p50`, and so on; of none all others are `None`."""

    @property
    def count(self) -> int: ...
    @property
    def p50(self) -> float | None: ...
    @property
    def p90(self) -> float | None: ...
    @property
    def p95(self) -> float | None: ...
    @property
    def p99(self) -> float | None: ...


class BaselineFields:
    """What `baseline` gives; without any number the quantiles are unset."""

    __slots__ = ("count", "p50", "p90", "p95", "p99")

    def __init__(self, usual: Usual) -> None:
        self.count = usual.count
        self.p50, self.p90 = _set(usual.p50), _set(usual.p90)
        self.p95, self.p99 = _set(usual.p95), _set(usual.p99)


def _set(quantile: float | None) -> object:
    return cel.UNSET if quantile is None else quantile


_WORDS: Final = {"place": "travel", "raised": "risk"}


def _rate(facts: Facts, key: object, window: object) -> Any:  # noqa: ANN401 - a number
    return answer(facts, question_of("rate", (key, window)))


def _seen(facts: Facts, key: object) -> Any:  # noqa: ANN401 - a truth value
    return answer(facts, question_of("seen", (key,)))


_RATE: Final = cel.Function(
    "rate", [cel.Overload("rate", (cel.STRING, cel.DURATION), cel.INT, _rate, bindings=(ANSWERS,))]
)
_SEEN: Final = cel.Function("seen", [cel.Overload("seen", (cel.STRING,), cel.BOOL, _seen, bindings=(ANSWERS,))])


def functions_of(owner: str) -> tuple[cel.Function, ...]:
    """What the conditions of a document may call beside the library and the definitions.

    `owner` keeps apart the numbers of documents that have a variable of one name.
    """

    def baseline(facts: Facts, number: object, key: object) -> Any:  # noqa: ANN401 - quantiles
        return BaselineFields(answer(facts, question_of("baseline", (number_of(owner, number), key))))

    overload = cel.Overload("baseline", (cel.STRING, cel.STRING), BASELINE, baseline, bindings=(ANSWERS,))
    return (_RATE, _SEEN, cel.Function("baseline", [overload]))


def number_of(owner: str, variable: object) -> str:
    """What the number that a variable of a document holds is called in the store."""
    return f"{owner}/{variable}"
