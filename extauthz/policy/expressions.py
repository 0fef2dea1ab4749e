"""The CEL of one policy: compiled against the declared names, with every problem placed in the YAML file.

Owns the variables too: they are compiled in the order in which they need each other, so that each one's type is known
to what uses it; circles are refused. The rule kept here: what is wrong with a variable or definition is told where that
stands, and not again where it is used; there it is `dyn`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from extauthz import cel
from extauthz.cel import errors as cel_errors
from extauthz.cel import tree
from extauthz.policy.approver_reads import unkept_claims
from extauthz.policy.context import NAMES, VARIABLES
from extauthz.policy.declared import Declared, undeclared_places
from extauthz.policy.definitions import PREFIX as DEFINITIONS
from extauthz.policy.definitions import Definitions
from extauthz.policy.functions import functions_of
from extauthz.policy.header_reads import HEADER_HINT, undeclared_headers
from extauthz.policy.ordering import in_order
from extauthz.policy.problems import Path, Problem, did_you_mean, problem_at
from extauthz.policy.reads import ATTRIBUTES, Reader
from extauthz.policy.yaml_source import Document

MAX_VARIABLES = 100  # they may nest, and each level of nesting takes a few frames of Python's stack

_ALL_VARIABLES: Final = VARIABLES.removesuffix(".")
_DOTTED = re.compile(r"(?:variables|definitions)\.\w+")
_UNDECLARED = frozenset({"undeclared name `variables`", "undeclared name `definitions`"})
_UNKNOWN = re.compile(r"(?:undeclared name|unknown function) `(definitions\.\w+)`")


class Expressions:
    """Compiles the expressions of one document; `problems` collects what is wrong with them.

    `names` are those that they see beside `definitions`; unless given, what a condition sees. `owner` is what keeps the
    baselines of the document apart from those of others; without one they ask nothing.

    `declared` is what the configuration says that they may read. `shared` keeps the programs of documents without
    variables of their own: what they write alike is compiled once.
    """

    def __init__(
        self,
        document: Document,
        declared: Declared,
        shared: dict[str, cel.Program],
        definitions: Definitions,
        *,
        names: Mapping[str, cel.CelType] = NAMES,
        owner: str | None = None,
    ) -> None:
        self.problems: list[Problem] = []
        self.variables: dict[str, cel.Program] = {}
        self._failed = set(definitions.failed)
        self._document = document
        self._declared = declared
        self.definitions = definitions
        self._names: dict[str, cel.CelType] = {**definitions.types, **names}
        if ATTRIBUTES in names and declared.attributes is not None:
            self._names[ATTRIBUTES] = declared.attributes
        asking = () if owner is None else (*functions_of(owner), definitions.named.listed)
        self._functions = (*definitions.functions, definitions.named.within, *asking)
        self.reader = Reader(self.variables, owner or "", self._failed)
        self._compiled = shared

    def define(self, path: Path, sources: Mapping[str, str]) -> None:
        """Compile the variables that stand under `path`; what fails is known afterwards as `dyn`."""
        if self._document.is_lost(path):
            self._fail(_ALL_VARIABLES)
        elif len(sources) > MAX_VARIABLES:
            self._refuse(path, f"{len(sources)} variables; {MAX_VARIABLES} are the most")
            self._fail(_ALL_VARIABLES)
            return
        lost = self._document.lost(path)
        for name in lost:
            self._fail(f"{VARIABLES}{name}")
        if sources or self._failed:
            self._compiled = {}
        for name in self._in_order(path, sources):
            program = self.compile((*path, name), sources[name])
            if program is None:
                self._fail(VARIABLES + name)
                continue
            self.variables[VARIABLES + name] = program
            if not self.knows(program):
                self._fail(VARIABLES + name)
            elif VARIABLES + name not in self._failed:
                self._names[VARIABLES + name] = program.result_type

    def _fail(self, name: str) -> None:
        self._names[name] = cel.DYN
        self._failed.add(name)

    def knows(self, program: cel.Program) -> bool:
        """Whether the type of the program's result is known: not where it is `dyn` for what failed elsewhere."""
        if program.result_type != cel.DYN:
            return True
        called = {node.function for node in tree.walk(program.tree) if isinstance(node, tree.Call)}
        return not (program.names | called) & self._failed

    def condition(self, path: Path, source: str) -> cel.Program | None:
        """A `when`: of type bool."""
        program = self.compile(path, source)
        if program is not None and program.result_type != cel.BOOL:
            if not self.knows(program):
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

    def lines(self, path: Path, source: str) -> cel.Program | None:
        """An expression whose value becomes lines of a header: as `text`, or of type list(string), or a list of dyn."""
        program = self.compile(path, source)
        fitting = (cel.STRING, cel.DYN, cel.list_of(cel.STRING), cel.list_of(cel.DYN))
        if program is not None and program.result_type not in fitting:
            self._refuse(path, f"must be of type string or list(string), not {program.result_type}")
            return None
        return program

    def compile(self, path: Path, source: str) -> cel.Program | None:
        """The program of an expression of any type, or `None` and the problems told."""
        known = self._compiled.get(source)
        if known is not None:
            return known
        try:
            program = cel.compile(source, variables=self._names, functions=self._functions, nan_ordering_is_error=True)
        except cel.CompileError as error:
            named = [self._named(problem, source) for problem in error.problems]
            told = [*filter(self._is_news, named), *self._undeclared_headers_of(source)]
            self.refuse_parts(path, told)
            return None
        try:
            if self.definitions.costs:
                self.definitions.cost(program.tree)
        except ValueError as error:
            message, _, hint = str(error).partition("; ")
            self._refuse(path, message, hint)
            return None
        refused = [
            *self._undeclared_headers(program.tree),
            *self.reader.problems(program),
            *self.definitions.named.problems(program.tree),
            *undeclared_places(program.tree, self._declared.geo),
            *unkept_claims(program.tree, self._declared.approver_claims),
        ]
        self.refuse_parts(path, refused)
        if refused:
            return None
        self._compiled[source] = program
        return program

    def refuse_parts(self, path: Path, problems: Iterable[cel_errors.Problem]) -> None:
        """Tell what is wrong with parts of the expression at `path`."""
        self.problems += [self._placed(path, problem) for problem in problems]

    def refuse_undeclared(self, path: Path, headers: Sequence[str]) -> None:
        """Tell which headers (lower-case names), listed at `path`, the configuration does not declare."""
        declared = self._declared.headers
        for number, name in enumerate(headers):
            if declared is not None and name not in declared:
                self._refuse((*path, number), f"the header `{name}` is not declared", HEADER_HINT)

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

    def refuse_name(self, path: Path, source: str, name: str, message: str, hint: str) -> bool:
        """Tell what is wrong with the first use of a name in a source that was compiled; false if it has none."""
        nodes = tree.walk(self._compiled[source].tree)
        for node in nodes:
            if isinstance(node, tree.Variable) and node.name == name:
                self.problems.append(self._placed(path, cel_errors.Problem.at(node.span, message, hint)))
                return True
        return False

    def _in_order(self, path: Path, sources: Mapping[str, str]) -> Iterator[str]:
        """The variables' names, each after those that it needs; those in a circle are told where the first stands."""
        known = {**self._names, **{VARIABLES + name: cel.DYN for name in sources}}
        functions = self._functions
        needs = {name: _needed(source, known, functions) for name, source in sources.items()}
        for group in in_order(needs):
            if len(group) > 1 or group[0] in needs[group[0]]:
                message = f"the variables `{'`, `'.join(group)}` need each other"
                if len(group) == 1:
                    message = f"the variable `{group[0]}` needs itself"
                first = min(group, key=lambda name: self._document.place((*path, name)))
                self._refuse((*path, first), message, "break the circle")
                for name in group:
                    self._fail(VARIABLES + name)
            yield from group

    def _undeclared_headers_of(self, source: str) -> list[cel_errors.Problem]:
        """Those of a source that can't be compiled, as far as it can be read."""
        try:
            return self._undeclared_headers(cel.read(source, variables=self._names))
        except cel.CompileError:
            return []

    def _undeclared_headers(self, root: tree.Expr) -> list[cel_errors.Problem]:
        declared = self._declared.headers
        return [] if declared is None else list(undeclared_headers(root, declared))

    def _is_news(self, problem: cel_errors.Problem) -> bool:
        """Whether it is not only that something is wrong with a definition."""
        unknown = _UNKNOWN.fullmatch(problem.message)
        return unknown is None or not self.definitions.fails(unknown[1])

    def _named(self, problem: cel_errors.Problem, source: str) -> cel_errors.Problem:
        """The problem with the whole name, if a variable or definition that does not exist is what was meant."""
        if (unknown := _UNKNOWN.fullmatch(problem.message)) is not None:
            return replace(problem, hint=self._hint(unknown[1]))
        if problem.message not in _UNDECLARED or (line := source.splitlines()[problem.line - 1 :][:1]) == []:
            return problem
        whole = _DOTTED.match(line[0], problem.column - 1)
        if whole is None:
            return problem
        if whole[0] in {function.name for function in self.definitions.functions}:
            return replace(problem, message=f"`{whole[0]}` is a function", hint=f"call it: `{whole[0]}(…)`")
        return replace(problem, message=f"undeclared name `{whole[0]}`", hint=self._hint(whole[0]))

    def _hint(self, name: str) -> str:
        """What to do about a variable or definition that does not exist."""
        prefix = VARIABLES if name.startswith(VARIABLES) else DEFINITIONS
        known = [*self._names, *(function.name for function in self.definitions.functions)]
        hint = did_you_mean(name, [one for one in known if one.startswith(prefix)])
        if hint:
            return hint
        if prefix == VARIABLES:
            return "define it under `variables` of the policy"
        return "no loaded document defines it; name the file or folder with its `kind: Definitions` document too"

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
        names = tree.variables_of(cel.read(source, variables=known, functions=functions))
    except cel.CompileError:
        return set()
    return {name.removeprefix(VARIABLES) for name in names if name.startswith(VARIABLES)}
