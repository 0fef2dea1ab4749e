"""`kind: Definitions` documents to `Definitions`: each name once, functions after those that they call, no circles.

Pure. The rule kept here: the order of documents, and of what stands in them, means nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from extauthz import cel
from extauthz.cel import tree
from extauthz.policy import cel_types, models
from extauthz.policy.definitions import NO_DEFINITIONS, PREFIX, Cost, Definitions, function
from extauthz.policy.expressions import Expressions
from extauthz.policy.problems import Path, Problem, problem_at
from extauthz.policy.yaml_source import Document

_KINDS: Final[Mapping[type, cel.CelType]] = {str: cel.STRING, bool: cel.BOOL, int: cel.INT, float: cel.DOUBLE}


def define(documents: Sequence[tuple[Document, models.DefinitionsDocument]], problems: list[Problem]) -> Definitions:
    """The definitions of all documents; what is wrong with them is told in `problems`."""
    if not documents:
        return NO_DEFINITIONS
    collected = _Collected(documents)
    functions: list[cel.Function] = []
    costs: dict[str, Cost] = {}
    for name in collected.in_order():
        if not collected.calls[name] <= costs.keys():  # what is wrong is told where it stands
            continue
        known = Definitions(types=collected.types, values=collected.values, functions=tuple(functions), costs=costs)
        compiled = collected.compile(name, known)
        if compiled is not None:
            functions.append(compiled[0])
            costs[name] = compiled[1]
    problems += collected.problems
    return Definitions(
        types=collected.types,
        values=collected.values,
        functions=tuple(functions),
        costs=costs,
        broken=bool(collected.problems),
    )


@dataclass(frozen=True, slots=True)
class _Source:
    """A function as it stands in a document."""

    document: Document
    path: Path
    model: models.DefinedFunction


class _Collected:
    """The definitions of all documents before the functions are compiled; names with their prefix."""

    def __init__(self, documents: Iterable[tuple[Document, models.DefinitionsDocument]]) -> None:
        self.problems: list[Problem] = []
        self.values: dict[str, object] = {}
        self.types: dict[str, cel.CelType] = {}
        self.calls: Mapping[str, set[str]] = {}
        self._functions: dict[str, _Source] = {}
        self._seen: dict[str, str] = {}
        self._stubs: list[cel.Function] = []
        for document, model in documents:
            spec = model.spec
            for name, defined in (spec.functions or {}).items():
                path: Path = ("spec", "functions", name)
                if self._is_new(document, path, name):
                    self._functions[PREFIX + name] = _Source(document, path, defined)
                    self._stubs.append(_stub(PREFIX + name, len(defined.parameters or ())))
            for name, items in (spec.lists or {}).items():
                self._value(document, ("spec", "lists", name), name, items)
            for name, constant in (spec.constants or {}).items():
                self._value(document, ("spec", "constants", name), name, constant)

    def _value(self, document: Document, path: Path, name: str, value: object) -> None:
        if not self._is_new(document, path, name):
            return
        kinds = {_KINDS[type(item)] for item in (value if isinstance(value, list) else [value])}
        kind = kinds.pop()
        if kinds:
            hint = "a list holds text, or whole numbers, or numbers with a point, or `true` and `false`"
            self.problems.append(problem_at(document, path, f"`{name}` holds values of several types", hint))
        self.values[PREFIX + name] = value
        self.types[PREFIX + name] = cel.list_of(kind) if isinstance(value, list) else kind

    def _is_new(self, document: Document, path: Path, name: str) -> bool:
        if name in self._seen:
            message, hint = f"`{name}` is defined already", f"see {self._seen[name]}"
            self.problems.append(problem_at(document, path, message, hint, key=True))
            return False
        self._seen[name] = f"{document.file}:{document.key_place(path)[0]}"
        return True

    def in_order(self) -> list[str]:
        """The functions' names, each after those that it calls; those in a circle are told and left out."""
        self.calls = {name: self._called(source.model.body) for name, source in self._functions.items()}
        needs = dict(self.calls)
        ordered: list[str] = []
        while needs:
            ready = sorted(name for name, called in needs.items() if not called & set(needs))
            if not ready:
                self._tell_circle(sorted(needs))
                break
            ordered += ready
            for name in ready:
                del needs[name]
        return ordered

    def _called(self, body: str) -> set[str]:
        """The defined functions that a body calls; none if it does not compile at all, which is told later."""
        try:
            root = cel.compile(body, check=False, functions=self._stubs).tree
        except cel.CompileError:
            return set()
        return {node.function for node in tree.walk(root) if isinstance(node, tree.Call)} & set(self._functions)

    def _tell_circle(self, names: list[str]) -> None:
        several = f"the functions `{'`, `'.join(names)}` need each other"
        for name in names:
            source = self._functions[name]
            message = several if len(names) > 1 else f"the function `{name}` calls itself"
            self.problems.append(problem_at(source.document, source.path, message, "break the circle", key=True))

    def compile(self, name: str, known: Definitions) -> tuple[cel.Function, Cost] | None:
        """A function and what it costs; `known` are the definitions that it may use. `None` if a problem is told."""
        source = self._functions[name]
        types = {
            parameter.name: self._type(source, ("parameters", number, "type"), parameter.type)
            for number, parameter in enumerate(source.model.parameters or ())
        }
        if len(types) < len(source.model.parameters or ()):
            self._refuse(source, ("parameters",), "a parameter stands there twice", "rename one")
        expressions = Expressions(source.document, None, {}, known, names=types)
        path: Path = (*source.path, "body")
        body = expressions.compile(path, source.model.body)
        self.problems += expressions.problems
        if body is None:
            return None
        declared = source.model.result
        if declared is not None and self._type(source, ("result",), declared) != body.result_type:
            hint = f"convert it, or declare `{body.result_type}`"
            self._refuse(source, ("body",), f"must be of type {declared}, not {body.result_type}", hint)
        return function(name, types, body, known.values), known.cost(body.tree)

    def _type(self, source: _Source, path: Path, text: str) -> cel.CelType:
        try:
            return cel_types.parse(text)
        except ValueError as error:
            message, _, hint = str(error).partition("; ")
            self._refuse(source, path, message, hint)
            return cel.DYN

    def _refuse(self, source: _Source, path: Path, message: str, hint: str) -> None:
        self.problems.append(problem_at(source.document, (*source.path, *path), message, hint))


def _stub(name: str, parameters: int) -> cel.Function:
    """Stands for a function while it is only asked who calls it."""
    return cel.Function(name, [cel.Overload(name, (cel.DYN,) * parameters, cel.DYN, lambda *_: None)])
