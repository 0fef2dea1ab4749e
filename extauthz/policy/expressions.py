"""The CEL of one policy: compiled against the declared names, with every problem placed in the YAML file.

Owns the variables too: they are compiled in the order in which they need each other, so that each one's type is known
to what uses it; cycles are refused.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from extauthz import cel
from extauthz.cel import errors as cel_errors
from extauthz.cel import tree
from extauthz.policy.context import NAMES, VARIABLES
from extauthz.policy.definitions import PREFIX, Definitions
from extauthz.policy.problems import Path, Problem, did_you_mean, problem_at
from extauthz.policy.yaml_source import Document

MAX_VARIABLES = 100  # they may nest, and each level of nesting takes a few frames of Python's stack

_DOTTED = re.compile(r"(?:variables|definitions)\.\w+")
_UNDECLARED = frozenset({"undeclared name `variables`", "undeclared name `definitions`"})
_HEADER_VIEWS = frozenset({"headers", "header_values"})


class Expressions:
    """Compiles the expressions of one document; `problems` collects what is wrong with them.

    `names` are those that they see beside `definitions`; unless given, what a condition sees.

    `declared_headers` are the lower-case names of the headers that Envoy sends, `None` if it sends all. `shared` keeps
    the programs of documents without variables of their own: what they write alike is compiled once.
    """

    def __init__(
        self,
        document: Document,
        declared_headers: frozenset[str] | None,
        shared: dict[str, cel.Program],
        definitions: Definitions,
        *,
        names: Mapping[str, cel.CelType] = NAMES,
    ) -> None:
        self.problems: list[Problem] = []
        self.variables: dict[str, cel.Program] = {}
        self._failed: set[str] = set()
        self._document = document
        self._declared_headers = declared_headers
        self.definitions = definitions
        self._names: dict[str, cel.CelType] = {**definitions.types, **names}
        self._compiled = shared

    def define(self, path: Path, sources: Mapping[str, str]) -> None:
        """Compile the variables that stand under `path`; what fails is known afterwards as `dyn`."""
        if len(sources) > MAX_VARIABLES:
            self._refuse(path, f"{len(sources)} variables; {MAX_VARIABLES} are the most")
            return
        if sources:
            self._compiled = {}
        for name in self._in_order(path, sources):
            program = self.compile((*path, name), sources[name])
            if program is None:
                self._fail(VARIABLES + name)
            else:
                self._names[VARIABLES + name] = program.result_type
                self.variables[VARIABLES + name] = program

    def _fail(self, name: str) -> None:
        self._names[name] = cel.DYN
        self._failed.add(name)

    def condition(self, path: Path, source: str) -> cel.Program | None:
        """A `when`: of type bool."""
        program = self.compile(path, source)
        if program is not None and program.result_type != cel.BOOL:
            if program.names & self._failed:  # it may have been of another type: what is wrong is told there
                return None
            hint = "compare it, say `… == true`" if program.result_type == cel.DYN else ""
            self._refuse(path, f"a condition must be of type bool, not {program.result_type}", hint)
            return None
        return program

    def text(self, path: Path, source: str) -> cel.Program | None:
        """An expression whose value becomes a header or a parameter: of type string, or dyn and then seen."""
        program = self.compile(path, source)
        if program is not None and program.result_type not in (cel.STRING, cel.DYN):
            self._refuse(path, f"must be of type string, not {program.result_type}", "wrap it in `string(…)`")
            return None
        return program

    def compile(self, path: Path, source: str) -> cel.Program | None:
        """The program of an expression of any type, or `None` and the problems told."""
        known = self._compiled.get(source)
        if known is not None:
            return known
        try:
            program = cel.compile(
                source, variables=self._names, functions=self.definitions.functions, nan_ordering_is_error=True
            )
        except cel.CompileError as error:
            if not (self.definitions.broken and PREFIX in source):  # what is broken is told where it stands
                self.problems += [self._placed(path, self._named(problem, source)) for problem in error.problems]
            return None
        try:
            if self.definitions.costs:
                self.definitions.cost(program.tree)
        except ValueError as error:
            message, _, hint = str(error).partition("; ")
            self._refuse(path, message, hint)
            return None
        undeclared = self._undeclared_headers(program.tree)
        self.problems += [self._placed(path, problem) for problem in undeclared]
        if undeclared:
            return None
        self._compiled[source] = program
        return program

    def reach(self, programs: Iterable[cel.Program]) -> set[str]:
        """The names that programs read, those of their variables included."""
        reached: set[str] = set()
        pending = {name for program in programs for name in program.names}
        while pending:
            name = pending.pop()
            if name not in reached:
                reached.add(name)
                if (variable := self.variables.get(name)) is not None:
                    pending |= set(variable.names)
        return reached

    def _in_order(self, path: Path, sources: Mapping[str, str]) -> list[str]:
        """The variables' names, each after those that it needs."""
        known = {**self._names, **{VARIABLES + name: cel.DYN for name in sources}}
        functions = self.definitions.functions
        needs = {name: _needed(source, known, functions) for name, source in sources.items()}
        ordered: list[str] = []
        while needs:
            ready = sorted(name for name, wanted in needs.items() if wanted <= set(ordered))
            if not ready:
                circle = "`, `".join(sorted(needs))
                several = f"the variables `{circle}` need each other"
                for name in sorted(needs):
                    message = several if len(needs) > 1 else f"the variable `{name}` needs itself"
                    self._refuse((*path, name), message, "break the circle")
                    self._fail(VARIABLES + name)
                return ordered
            ordered += ready
            for name in ready:
                del needs[name]
        return ordered

    def _undeclared_headers(self, root: tree.Expr) -> list[cel_errors.Problem]:
        """A header that Envoy may withhold would look absent: it is refused to read one that is not declared."""
        declared = self._declared_headers
        if declared is None:
            return []
        problems = []
        understood: set[int] = set()  # a walk meets what holds a node before the node
        for node in tree.walk(root):
            if isinstance(node, tree.Select | tree.Has) and _is_request(node.operand):
                understood.add(id(node.operand))
            view, name = _header_read(node)
            if view is not None and name is not None:
                understood.add(id(view))
                if name.lower() not in declared:
                    problems.append(_undeclared(node, f"the header `{name}` is not declared"))
            elif (_is_header_view(node) or _is_request(node)) and id(node) not in understood:
                problems.append(_undeclared(node, "headers are read without a name, and not all are declared"))
        return problems

    def _named(self, problem: cel_errors.Problem, source: str) -> cel_errors.Problem:
        """The problem with the whole name, if a variable or definition that does not exist is what was meant."""
        if problem.message not in _UNDECLARED or (line := source.splitlines()[problem.line - 1 :][:1]) == []:
            return problem
        whole = _DOTTED.match(line[0], problem.column - 1)
        if whole is None:
            return problem
        functions = {function.name for function in self.definitions.functions}
        if whole[0] in functions:
            return replace(problem, message=f"`{whole[0]}` is a function", hint=f"call it: `{whole[0]}(…)`")
        hint = did_you_mean(whole[0], [*self._names, *functions])
        return replace(problem, message=f"undeclared name `{whole[0]}`", hint=hint or problem.hint)

    def _placed(self, path: Path, problem: cel_errors.Problem) -> Problem:
        line, column = self._document.place_in(path, problem.line, problem.column)
        return Problem(
            file=self._document.file,
            line=line,
            column=column,
            message=problem.message,
            hint=problem.hint or "",
            source_line=self._document.source_line(line),
        )

    def _refuse(self, path: Path, message: str, hint: str = "") -> None:
        self.problems.append(problem_at(self._document, path, message, hint))


def _needed(source: str, known: Mapping[str, cel.CelType], functions: Sequence[cel.Function]) -> set[str]:
    """The variables that a source names; none if it does not compile at all, which is told later."""
    try:
        names = cel.compile(source, variables=known, functions=functions, check=False).names
    except cel.CompileError:
        return set()
    return {name.removeprefix(VARIABLES) for name in names if name.startswith(VARIABLES)}


def _undeclared(node: tree.Expr, message: str) -> cel_errors.Problem:
    span = node.span
    hint = "add it to `request.headers` of the configuration and to `allowed_headers` of the filter"
    return cel_errors.Problem(message, span.line, span.column, span.end_line, span.end_column, hint)


def _is_header_view(node: tree.Expr) -> bool:
    return isinstance(node, tree.Select | tree.Has) and node.field in _HEADER_VIEWS and _is_request(node.operand)


def _is_request(node: tree.Expr) -> bool:
    return isinstance(node, tree.Variable) and node.name == "request"


def _header_read(node: tree.Expr) -> tuple[tree.Expr | None, str | None]:
    """The view of headers that a node reads one name of, and the name."""
    match node:
        case tree.Select(operand=view, field=name) | tree.Has(operand=view, field=name):
            pass
        case tree.Index(operand=view, index=tree.Constant(value=str() as name)):
            pass
        case tree.Call(function="@in", args=(tree.Constant(value=str() as name), view)):
            pass
        case _:
            return None, None
    return (view, name) if _is_header_view(view) else (None, None)
