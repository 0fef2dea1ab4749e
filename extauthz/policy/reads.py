"""What expressions read that must be looked up: worked out when they are compiled, so that a request asks for no more.

The rule kept here: what a look-up is asked about is known without one. So the arguments of `rate`, `seen` and
`baseline` read nothing that must be looked up, and no variable of a macro around them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from extauthz import cel
from extauthz.cel import errors as cel_errors
from extauthz.cel import tree
from extauthz.policy.context import PARAMS, VARIABLES
from extauthz.policy.definitions import PREFIX as DEFINITIONS
from extauthz.policy.functions import ANSWERS, ASKING, number_of
from extauthz.values.facts import Kind
from extauthz.values.grants import Lookup

MOST_ASKS: Final = 64
"""Calls of `rate`, `seen` and `baseline` in one rule or risk model, those of variables included."""

ATTRIBUTES: Final = "attributes"
RISK: Final = "risk"
FACTS: Final = frozenset({"geo", "travel", "device", "reported", ATTRIBUTES})
"""Names of facts beside the session, whose ages have a place of their own."""
_KNOWN_FIELDS: Final[Mapping[str, frozenset[str]]] = {"session": frozenset({"id"})}
"""Fields that need no look-up, of names whose other fields do."""
_LOOKUPS: Final[Mapping[str, Lookup]] = {
    "session": "session",
    "travel": "place",
    ATTRIBUTES: "attributes",
}
_NUMBERS: Final = (cel.INT, cel.UINT, cel.DOUBLE)


class Ask(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A call of `rate`, `seen` or `baseline`: what works out its arguments.

    `meaning` is the call as it is written, with the variables that it reads, if it means the same in every rule of the
    document: by it a record tells what was answered. Else it is empty. `number` is, of a baseline, the program of what
    is noted when the request is allowed.
    """

    kind: Kind
    arguments: tuple[Callable[[Mapping[str, Any]], Any], ...]
    meaning: str
    number: cel.Program | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """What must be looked up for some expressions: of which kinds, the questions, and the attribute sources.

    `facts` are the names of facts that they read, looked up or not; `risk` is whether they read the name `risk`.
    """

    lookups: frozenset[Lookup] = frozenset()
    asks: tuple[Ask, ...] = ()
    sources: frozenset[str] = frozenset()
    facts: frozenset[str] = frozenset()
    risk: bool = False

    def __or__(self, other: "Reads") -> "Reads":
        """What both read."""
        return Reads(
            lookups=self.lookups | other.lookups,
            asks=tuple(dict.fromkeys((*self.asks, *other.asks))),
            sources=self.sources | other.sources,
            facts=self.facts | other.facts,
            risk=self.risk or other.risk,
        )

    def beside(self, model: "Reads") -> "Reads":
        """What must be looked up for these and for a risk model, which asks by itself."""
        return replace(
            self,
            lookups=self.lookups | model.lookups,
            sources=self.sources | model.sources,
            facts=self.facts | model.facts,
        )


READS_NOTHING: Final = Reads()


class Reader:
    """Tells what expressions of one document read.

    `variables` are the programs of its variables by their whole names, which may grow; `owner` is what keeps its
    baselines apart from those of others. `failed` are the names of variables that something is wrong with, which is
    told where they stand; it may grow as well.
    """

    def __init__(self, variables: Mapping[str, cel.Program], owner: str, failed: AbstractSet[str]) -> None:
        self._variables = variables
        self._failed = failed
        self._owner = owner
        self._known: dict[cel.Program, Reads] = {}

    def of(self, programs: Iterable[cel.Program]) -> Reads:
        """What programs read, with the variables that they use, which may use each other."""
        found = READS_NOTHING
        pending = list(programs)
        seen = set(pending)
        while pending:
            program = pending.pop()
            found |= self._of(program)
            for name in sorted(program.names & self._variables.keys()):
                if (variable := self._variables[name]) not in seen:
                    seen.add(variable)
                    pending.append(variable)
        return found

    def problems(self, program: cel.Program) -> Iterator[cel_errors.Problem]:
        """What can't be asked in a program; its variables are judged where they stand."""
        asked = 0
        for node in tree.walk(program.tree):
            if isinstance(node, tree.Call) and _is_ask(node):
                yield from self._problems_of(node)
                asked += 1
        if asked > MOST_ASKS:
            yield _problem(program.tree, f"asks {asked} questions; {MOST_ASKS} are the most", "split the rule")
        for node, source in _sources(program.tree):
            if not source:
                yield _problem(node, "an attribute source is read without its name", "write `attributes.NAME`")

    def _problems_of(self, call: tree.Call) -> Iterator[cel_errors.Problem]:
        for argument in call.args:
            for node in tree.walk(argument):
                if isinstance(node, tree.Local) and not _binds(argument, node.name):
                    message = f"what `{call.function}` asks must be known before: it can't use `{node.name}` of a macro"
                    yield _problem(node, message, "write one call for each")
            late = self._late(argument)
            if late:
                message = f"what `{call.function}` asks must be known before: its arguments can't read `{late}`"
                yield _problem(argument, message, "use what the request, its caller and `context` tell")
        if call.function == "baseline" and self._number(call) is None and not self._is_unsure(call.args[0]):
            message = "the first argument of `baseline` is not the name of a variable of this document that is a number"
            yield _problem(call.args[0], message, 'write `baseline("amount", …)` beside `variables: {amount: …}`')

    def _is_unsure(self, name: tree.Expr) -> bool:
        """Whether something is wrong with the variable that a literal names, or with all of them."""
        if not (isinstance(name, tree.Constant) and isinstance(name.value, str)):
            return False
        return not self._failed.isdisjoint((f"{VARIABLES}{name.value}", VARIABLES.removesuffix(".")))

    def _late(self, argument: tree.Expr) -> str:
        """What an argument reads that must be looked up; empty if nothing."""
        for node in _walk_reading(argument):
            match node:
                case tree.Variable(name=name) if name in _LOOKUPS or name == RISK:
                    return name
                case tree.Variable(name=name) if (variable := self._variables.get(name)) is not None:
                    reads = self.of([variable])
                    if reads.lookups or reads.risk:
                        return name
                case tree.Call() if _is_ask(node):
                    return node.function
                case _:
                    pass
        return ""

    def _of(self, program: cel.Program) -> Reads:
        found = self._known.get(program)
        if found is None:
            found = self._known[program] = self._read(program)
        return found

    def _read(self, program: cel.Program) -> Reads:
        lookups: set[Lookup] = set()
        asks: list[Ask] = []
        risk = False
        for node in _walk_reading(program.tree):
            match node:
                case tree.Variable(name=name) if name == RISK:
                    risk = True
                case tree.Variable(name=name) if (lookup := _LOOKUPS.get(name)) is not None:
                    lookups.add(lookup)
                case tree.Call() if _is_ask(node):
                    asks.append(self._ask(program, node))
                    lookups.add(asks[-1].kind)
                case _:
                    pass
        sources = frozenset(name for _, name in _sources(program.tree))
        return Reads(
            lookups=frozenset(lookups),
            asks=tuple(asks),
            sources=sources,
            facts=FACTS & program.names,
            risk=risk,
        )

    def _ask(self, program: cel.Program, call: tree.Call) -> Ask:
        kind = ASKING[call.function]
        arguments = [program.part(argument).evaluate for argument in call.args]
        variable = self._number(call) if kind == "baseline" else None
        if variable is not None:
            number = number_of(self._owner, variable)
            arguments[0] = lambda _: number
        return Ask(
            kind=kind,
            arguments=tuple(arguments),
            meaning=self._meaning(program, call),
            number=None if variable is None else self._variables[VARIABLES + variable],
        )

    def _meaning(self, program: cel.Program, call: tree.Call) -> str:
        used: dict[str, str] = {}
        pending = {node.name for node in tree.walk(call) if isinstance(node, tree.Variable)}
        while pending:
            name = pending.pop()
            if name == PARAMS or name.startswith(DEFINITIONS):
                return ""
            if (variable := self._variables.get(name)) is not None and name not in used:
                used[name] = variable.source
                pending |= variable.names
        written = program.source[call.span.start : call.span.end]
        return "; ".join([f"{self._owner}: {written}", *(f"{name} = {used[name]}" for name in sorted(used))])

    def _number(self, call: tree.Call) -> str | None:
        """The variable that a baseline is of; `None` if there is no such, or it is no number."""
        match call.args[0]:
            case tree.Constant(value=str() as name):
                program = self._variables.get(VARIABLES + name)
                return name if program is not None and program.result_type in _NUMBERS else None
            case _:
                return None


def _is_ask(node: tree.Expr) -> bool:
    return isinstance(node, tree.Call) and any(ANSWERS in overload.bindings for overload in node.overloads)


def _binds(argument: tree.Expr, name: str) -> bool:
    """Whether a macro within the argument introduces the name."""
    return any(
        (isinstance(node, tree.Loop) and name in (node.variable, node.second))
        or (isinstance(node, tree.Bind) and node.variable == name)
        for node in tree.walk(argument)
    )


def _walk_reading(root: tree.Expr) -> Iterator[tree.Expr]:
    """The nodes of an expression, but not a name of which only fields are read that need no look-up."""
    known: set[int] = set()  # a walk meets what holds a node before the node
    for node in tree.walk(root):
        match node:
            case tree.Select(operand=tree.Variable(name=name) as whole, field=field) if _is_known(name, field):
                known.add(id(whole))
            case tree.Has(operand=tree.Variable(name=name) as whole, field=field) if _is_known(name, field):
                known.add(id(whole))
            case _:
                pass
        if id(node) not in known:
            yield node


def _is_known(name: str, field: str) -> bool:
    return field in _KNOWN_FIELDS.get(name, ())


def _sources(root: tree.Expr) -> Iterator[tuple[tree.Expr, str]]:
    """Every place where an attribute source is read, and its name; empty where none is named."""
    named: set[int] = set()
    for node in tree.walk(root):
        match node:
            case tree.Select(operand=whole, field=name) | tree.Has(operand=whole, field=name):
                pass
            case tree.Index(operand=whole, index=tree.Constant(value=str() as name)):
                pass
            case _:
                whole, name = node, ""
        if not isinstance(whole, tree.Variable) or whole.name != ATTRIBUTES or id(whole) in named:
            continue
        named.add(id(whole))
        yield node, name


def _problem(node: tree.Expr, message: str, hint: str) -> cel_errors.Problem:
    return cel_errors.Problem.at(node.span, message, hint)
