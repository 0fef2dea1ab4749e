"""`kind: Definitions` documents to `Definitions`: each name once, functions after those that they call, no circles.

Pure. The rule kept here: the order of documents, and of what stands in them, means nothing.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from extauthz import cel
from extauthz.cel import tree
from extauthz.policy import cel_types, models
from extauthz.policy.declared import NOTHING_DECLARED
from extauthz.policy.definitions import NO_DEFINITIONS, PREFIX, Cost, Definitions, function
from extauthz.policy.expressions import Expressions
from extauthz.policy.mending import Mended
from extauthz.policy.naming import Named, name_all
from extauthz.policy.ordering import in_order
from extauthz.policy.problems import Path, Problem, problem_at
from extauthz.policy.together import problems_of_definitions
from extauthz.policy.yaml_source import Document

_WRONG_NUMBER: Final = re.compile(r"`([^`]+)` does not take [0-9]+ arguments")
_KINDS: Final[Mapping[type, cel.CelType]] = {str: cel.STRING, bool: cel.BOOL, int: cel.INT, float: cel.DOUBLE}


def define(
    documents: Sequence[Mended[models.DefinitionsDocument]],
    problems: list[Problem],
    *,
    complete: bool,
    files: frozenset[str] | None = None,
) -> Definitions:
    """The definitions of all documents; what is wrong with them is told in `problems`.

    `complete` is whether there are no others, in documents that can't be read. `files` are the names of lists of
    addresses that the configuration has, `None` if it is not at hand.
    """
    if not documents and complete and files is None:
        return NO_DEFINITIONS
    collected = _Collected(documents, name_all(documents, problems, files=files, complete=complete))
    compiled: dict[str, tuple[cel.Function, Cost | None]] = {}
    for source in collected.in_order():
        ambiguous = source.name in collected.failed
        one = collected.compile(source, collected.known(compiled, complete))
        if one is not None and not ambiguous:
            compiled[source.name] = one
    problems += collected.problems
    return collected.known(compiled, complete)


class _Source(msgspec.Struct, frozen=True):
    """A function as it stands in a document; its name has the prefix."""

    name: str
    document: Document
    path: Path
    model: models.DefinedFunction

    def lacks(self, field: str) -> bool:
        """Whether a field, or an element of it, is not the one written."""
        path: Path = (*self.path, field)
        return self.document.is_lost(path) or bool(self.document.lost(path))

    @property
    def has_names(self) -> bool:
        """Whether the names of all parameters are known."""
        names = ((*self.path, "parameters", number, "name") for number in range(len(self.model.parameters or ())))
        return not self.lacks("parameters") and not any(map(self.document.is_lost, names))


class _Collected:
    """The definitions of all documents before the functions are compiled; names with their prefix.

    `failed` are the names that stand for something of which the type is not known.
    """

    def __init__(self, documents: Iterable[Mended[models.DefinitionsDocument]], named: Named) -> None:
        self.problems: list[Problem] = []
        self._named = named
        self.failed: set[str] = set()
        self._values: dict[str, object] = {}
        self._types: dict[str, cel.CelType] = {}
        self._functions: dict[str, _Source] = {}
        self._again: list[_Source] = []
        self._seen: dict[str, str] = {}
        for mended in documents:
            document, spec = mended.document, mended.model.spec
            self.problems += problems_of_definitions(document)
            for name, defined in (spec.functions or {}).items():
                path: Path = ("spec", "functions", name)
                source = _Source(PREFIX + name, document, path, defined)
                if self._is_new(document, path, name):
                    self._functions[source.name] = source
                else:
                    self._again.append(source)
            for name, items in (spec.lists or {}).items():
                self._value(document, ("spec", "lists", name), name, items)
            for name, constant in (spec.constants or {}).items():
                self._value(document, ("spec", "constants", name), name, constant)
            self.failed |= {f"{PREFIX}{name}" for name in document.lost(("spec", "functions"))}
            lost = document.lost(("spec", "lists")) | document.lost(("spec", "constants"))
            self.failed |= {f"{PREFIX}{name}" for name in lost}
            self._types |= {f"{PREFIX}{name}": cel.DYN for name in lost if name}

    def _value(self, document: Document, path: Path, name: str, value: object) -> None:
        if not self._is_new(document, path, name):
            self._types[PREFIX + name] = cel.DYN
            return
        kinds = {_KINDS[type(item)] for item in (value if isinstance(value, list) else [value])}
        kind = kinds.pop()
        if kinds:
            hint = "a list holds text, or whole numbers, or numbers with a point, or `true` and `false`"
            self.problems.append(problem_at(document, path, f"`{name}` holds values of several types", hint))
            self.failed.add(PREFIX + name)
            kind = cel.DYN
        self._values[PREFIX + name] = value
        self._types[PREFIX + name] = cel.list_of(kind) if isinstance(value, list) else kind

    def _is_new(self, document: Document, path: Path, name: str) -> bool:
        if name in self._seen:
            message, hint = f"`{name}` is defined already", f"see {self._seen[name]}"
            self.problems.append(problem_at(document, path, message, hint, key=True))
            self.failed.add(PREFIX + name)
            return False
        self._seen[name] = f"{document.file}:{document.key_place(path)[0]}"
        return True

    def known(self, compiled: Mapping[str, tuple[cel.Function, Cost | None]], complete: bool) -> Definitions:
        """What an expression may use when these functions are compiled."""
        return Definitions(
            types=self._types,
            values=self._values,
            functions=tuple(one for one, _ in compiled.values()),
            costs={name: cost for name, (_, cost) in compiled.items() if cost is not None},
            failed=frozenset(self.failed),
            complete=complete,
            named=self._named,
        )

    def in_order(self) -> Iterator[_Source]:
        """The functions, each after those that it calls; those in a circle are told. Second ones come last."""
        arities = {name: len(source.model.parameters or ()) for name, source in self._functions.items()}
        stubs = [_stub(name, [cel.DYN] * arity, cel.DYN) for name, arity in arities.items()]
        stubs.append(self._named.within)
        calls = {name: self._called(source.model.body, stubs) for name, source in self._functions.items()}
        for group in in_order(calls):
            if len(group) > 1 or group[0] in calls[group[0]]:
                self._tell_circle(group)
            for name in group:
                yield self._functions[name]
        yield from self._again

    def _called(self, body: str, stubs: Sequence[cel.Function]) -> set[str]:
        """The defined functions that a body calls; none if it does not compile at all, which is told later."""
        try:
            root = cel.read(body, functions=stubs)
        except cel.CompileError:
            return set()
        return {_called_in(node) for node in tree.walk(root)} & self._functions.keys()

    def _tell_circle(self, names: Sequence[str]) -> None:
        """Told where the first of them stands."""
        self.failed |= set(names)
        message = f"the functions `{'`, `'.join(names)}` need each other"
        if len(names) == 1:
            message = f"the function `{names[0]}` calls itself"
        told = [
            problem_at(source.document, source.path, message, "break the circle", key=True)
            for source in map(self._functions.__getitem__, names)
        ]
        self.problems.append(min(told, key=lambda problem: (problem.file, problem.line, problem.column)))

    def compile(self, source: _Source, known: Definitions) -> tuple[cel.Function, Cost | None] | None:
        """A function and what it costs, if that is known; `known` are the definitions that it may use.

        One that is wrong is known by what it declares, and never runs; `None` if its parameters can't be counted.
        """
        parameters = source.model.parameters or ()
        types = [
            self._type(source, ("parameters", number, "type"), parameter.type) or cel.DYN
            for number, parameter in enumerate(parameters)
        ]
        declared = source.model.result
        result = None if declared is None else self._type(source, ("result",), declared)
        named = dict(zip((parameter.name for parameter in parameters), types, strict=True))
        if source.has_names and len(named) < len(types):
            self._refuse(source, ("parameters",), "a parameter stands there twice", "rename one")
        if source.has_names and not source.lacks("body"):
            expressions = Expressions(source.document, NOTHING_DECLARED, {}, known, names=named)
            body = expressions.compile((*source.path, "body"), source.model.body)
            self.problems += expressions.problems
            if body is not None and expressions.knows(body):
                fits = declared is None and not source.lacks("result")
                if fits or result == body.result_type:
                    return function(source.name, named, body, known.values), known.cost(body.tree)
                if result is not None:
                    hint = f"convert it, or declare `{body.result_type}`"
                    self._refuse(source, ("body",), f"must be of type {declared}, not {body.result_type}", hint)
                    result = None
        self.failed.add(source.name)
        return None if source.lacks("parameters") else (_stub(source.name, types, result or cel.DYN), None)

    def _type(self, source: _Source, path: Path, text: str) -> cel.CelType | None:
        try:
            return cel_types.parse(text)
        except ValueError as error:
            message, _, hint = str(error).partition("; ")
            self._refuse(source, path, message, hint)
            return None

    def _refuse(self, source: _Source, path: Path, message: str, hint: str) -> None:
        self.problems.append(problem_at(source.document, (*source.path, *path), message, hint))


def _called_in(node: tree.Expr) -> str:
    """The function that a node calls, also with a wrong number of arguments; empty if it calls none."""
    match node:
        case tree.Call(function=name):
            return name
        case tree.Failure(message=message) if (wrong := _WRONG_NUMBER.match(message)) is not None:
            return wrong[1]
        case _:
            return ""


def _stub(name: str, parameters: Sequence[cel.CelType], result: cel.CelType) -> cel.Function:
    """Stands for a function that is not compiled, or not yet."""

    def fail(*_: object) -> object:
        raise cel.EvalError(f"`{name}` is not known")

    return cel.Function(name, [cel.Overload(name, tuple(parameters), result, fail)])
