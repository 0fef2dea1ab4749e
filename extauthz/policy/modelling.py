"""`kind: RiskModel` documents to `RiskModel`s, and which of them a policy means.

Pure. The rule kept here: the order of documents, and of signals and levels in them, means nothing.
"""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Final

from extauthz import cel
from extauthz.policy import models
from extauthz.policy.context import NAMES, PARAMS
from extauthz.policy.declared import Declared
from extauthz.policy.definitions import Definitions
from extauthz.policy.expressions import Expressions
from extauthz.policy.mending import Mended
from extauthz.policy.problems import Path, Problem, problem_at
from extauthz.policy.reads import RISK, Reads
from extauthz.policy.risk_document import RiskModelDocument, SignalModel
from extauthz.policy.risk_models import RiskModel, Signal
from extauthz.risk.score import Level

DEFAULT: Final = "default"
"""The model of policies that name none, if there is one of this name."""
_OWNER: Final = "risk:"
"""What stands before the name of a model where policies have names, too."""
_NAMES: Final = {name: kind for name, kind in NAMES.items() if name not in (PARAMS, RISK)}
"""What a signal sees: what no policy and no rule has a part in."""


def risk_models(
    documents: Iterable[Mended[RiskModelDocument]],
    *,
    declared: Declared,
    definitions: Definitions,
    problems: list[Problem],
) -> Mapping[str, RiskModel]:
    """The models by their names; what is wrong with them is told in `problems`."""
    found: dict[str, RiskModel] = {}
    for mended in documents:
        compiler = _Compiler(mended, declared, definitions)
        model = compiler.model()
        problems += compiler.problems
        found.setdefault(model.name, model)
    return found


def meant_by(spec: models.PolicySpec, found: Mapping[str, RiskModel]) -> RiskModel | None:
    """The model that a policy means; `None` if there is none."""
    if spec.risk is not None:
        return found.get(spec.risk)
    return next(iter(found.values())) if len(found) == 1 else found.get(DEFAULT)


class _Compiler:
    """Compiles one document."""

    def __init__(
        self,
        mended: Mended[RiskModelDocument],
        declared: Declared,
        definitions: Definitions,
    ) -> None:
        self._document = mended.document
        self._model = mended.model
        self._own: list[Problem] = []
        self._expressions = Expressions(
            mended.document,
            declared,
            {},
            definitions,
            names=_NAMES,
            owner=_OWNER + mended.model.metadata.name,
        )

    @property
    def problems(self) -> list[Problem]:
        """What is wrong with the document."""
        return [*self._own, *self._expressions.problems]

    def model(self) -> RiskModel:
        """The model; signals with a problem may be missing."""
        name, spec, expressions = self._model.metadata.name, self._model.spec, self._expressions
        expressions.define(("spec", "variables"), spec.variables or {})
        signals = [self._signal(name, signal) for name, signal in sorted(spec.signals.items())]
        whole = tuple(signal for signal in signals if signal is not None)
        programs = [program for signal in whole for program in (signal.when, signal.since) if program is not None]
        reads = expressions.reader.of(programs)
        if any(signal.lingers for signal in whole):
            reads |= Reads(lookups=frozenset({"raised"}))
        return RiskModel(
            name=name,
            signals=whole,
            levels=self._levels(spec.levels),
            variables=expressions.variables,
            constants=expressions.definitions.values,
            reads=reads,
        )

    def _signal(self, name: str, signal: SignalModel) -> Signal | None:
        path: Path = ("spec", "signals", name)
        when = self._expressions.condition((*path, "when"), signal.when)
        since = None if signal.since is None else self._moment((*path, "since"), signal.since)
        if self._document.has((*path, "since")) and not self._document.has((*path, "half_life")):
            self._refuse((*path, "since"), "`since` is only for a signal with a `half_life`", "add one, or remove it")
        if when is None:
            return None
        return Signal(
            name=name,
            when=when,
            weight=float(signal.weight),
            half_life=signal.half_life,
            since=since,
            reason=signal.reason,
        )

    def _moment(self, path: Path, source: str) -> cel.Program | None:
        program = self._expressions.compile(path, source)
        if program is not None and program.result_type != cel.TIMESTAMP:
            if self._expressions.knows(program):
                hint = "wrap it in `timestamp(…)`" if program.result_type in (cel.DYN, cel.STRING, cel.INT) else ""
                self._refuse(path, f"a moment must be of type timestamp, not {program.result_type}", hint, key=False)
            return None
        return program

    def _levels(self, levels: Mapping[str, float]) -> tuple[Level, ...]:
        path: Path = ("spec", "levels")
        ascending = sorted((float(at), name) for name, at in levels.items())
        if not self._document.is_lost(path) and not self._document.lost(path):
            if ascending[0][0] > 0:
                hint = "let one begin at 0, say `low: 0`"
                self._refuse(path, "no level begins at 0, so that a request without a signal has none", hint, key=False)
            for (at, name), (next_at, next_name) in pairwise(ascending):
                if at == next_at:
                    message = f"the levels `{name}` and `{next_name}` begin at one score"
                    self._refuse((*path, next_name), message, "remove one, or let it begin elsewhere")
        return tuple(Level(name=name, begins_at=at) for at, name in ascending)

    def _refuse(self, path: Path, message: str, hint: str, *, key: bool = True) -> None:
        self._own.append(problem_at(self._document, path, message, hint, key=key))
