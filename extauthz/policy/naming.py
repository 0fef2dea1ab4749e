"""What definitions name for all documents: windows of time, and lists of addresses; and the functions that ask them.

    within(now, "office-hours")      whether a moment is in a window
    listed(client.ip, "office")      whether an address is in a list

The rule kept here: a name is a literal and stands for something that exists, or the set is none. A list that the
configuration names is read from its file while requests are decided, and may be another one for the next of them;
what stands in a document does not change.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from extauthz import cel
from extauthz.cel import errors as cel_errors
from extauthz.cel import tree
from extauthz.policy import models
from extauthz.policy.context import ADDRESSES
from extauthz.policy.mending import Mended
from extauthz.policy.named_models import WindowModel
from extauthz.policy.problems import Path, Problem, did_you_mean, problem_at
from extauthz.policy.yaml_source import Document
from extauthz.risk.addresses import AddressSet, parse_entry
from extauthz.values.request import empty
from extauthz.values.windows import DAYS, Holidays, Span, Window, zone_named

WITHIN: Final = "within"
LISTED: Final = "listed"


@dataclass(frozen=True, kw_only=True)
class Named:
    """Windows and lists of addresses, by name.

    `files` are the names of lists that the configuration has, `None` if it is not at hand. `unsure` are those that
    something is wrong with, and `complete` is whether there are no others: both are told where they stand.
    """

    windows: Mapping[str, Window] = field(default_factory=empty)
    lists: Mapping[str, AddressSet] = field(default_factory=empty)
    files: frozenset[str] | None = None
    unsure: frozenset[str] = frozenset()
    complete: bool = True

    @cached_property
    def within(self) -> cel.Function:
        """`within(timestamp, name)`; it needs nothing of a request."""
        return cel.Function(
            WITHIN, [cel.Overload(WITHIN, (cel.TIMESTAMP, cel.STRING), cel.BOOL, _within(self.windows))]
        )

    @cached_property
    def listed(self) -> cel.Function:
        """`listed(address, name)`, for expressions about requests."""
        overload = cel.Overload(LISTED, (cel.STRING, cel.STRING), cel.BOOL, _listed(self.lists), bindings=(ADDRESSES,))
        return cel.Function(LISTED, [overload])

    def problems(self, root: tree.Expr) -> Iterator[cel_errors.Problem]:
        """The calls of these functions, in a checked expression, whose name stands for nothing."""
        for node in tree.walk(root):
            if isinstance(node, tree.Call) and node.function in (WITHIN, LISTED) and len(node.args) == 2:
                yield from self._problems_of(node)

    def _problems_of(self, call: tree.Call) -> Iterator[cel_errors.Problem]:
        name = call.args[1]
        what = "window of time" if call.function == WITHIN else "list of addresses"
        if not (isinstance(name, tree.Constant) and isinstance(name.value, str)):
            yield _problem(name, f"the name of a {what} must be known when it is loaded", "write it as a literal text")
            return
        known = {*self.windows} if call.function == WITHIN else {*self.lists, *(self.files or ())}
        elsewhere = call.function == LISTED and self.files is None
        if name.value in known or name.value in self.unsure or elsewhere or not self.complete:
            return
        block = "windows" if call.function == WITHIN else "addresses"
        hint = did_you_mean(name.value, known) or f"define it under `{block}` of a `kind: Definitions` document"
        if call.function == LISTED and not did_you_mean(name.value, known):
            hint += ", or name its file under `addresses` of the configuration"
        yield _problem(name, f"no {what} is called `{name.value}`", hint)


NOTHING_NAMED: Final = Named()


def _within(windows: Mapping[str, Window]) -> Callable[[cel.Timestamp, str], bool]:
    # What each window came to last, and when: many requests ask in one second, and a calendar is slow to say it.
    last: dict[str, tuple[int, bool]] = {}

    def within(moment: cel.Timestamp, name: str) -> bool:
        seconds = moment.seconds
        known = last.get(name)
        if known is not None and known[0] == seconds:
            return known[1]
        window = windows.get(name)
        if window is None:
            raise cel.EvalError(f"no window of time is called `{name}`")
        try:
            covered = window.covers(seconds)
        except (ValueError, OverflowError):
            raise cel.EvalError(f"no clock of the window `{name}` shows that moment") from None
        last[name] = seconds, covered
        return covered

    return within


def _listed(lists: Mapping[str, AddressSet]) -> Callable[[Mapping[str, Callable[[str], bool]], str, str], bool]:
    def listed(files: Mapping[str, Callable[[str], bool]], address: str, name: str) -> bool:
        own = lists.get(name)
        if own is not None:
            return own.holds(address)
        holds = files.get(name)
        if holds is None:
            raise cel.EvalError(f"no list of addresses is called `{name}`")
        return holds(address)

    return listed


def name_all(
    documents: Sequence[Mended[models.DefinitionsDocument]],
    problems: list[Problem],
    *,
    files: frozenset[str] | None,
    complete: bool,
) -> Named:
    """What all documents name; what is wrong with it is told in `problems`. The arguments are those of `Named`."""
    collected = _Collected(files or frozenset())
    for mended in documents:
        collected.holidays(mended)
    for mended in documents:
        collected.document(mended, complete=complete)
    problems += collected.problems
    return Named(
        windows=collected.windows,
        lists=collected.lists,
        files=files,
        unsure=frozenset(collected.unsure),
        complete=complete,
    )


class _Collected:
    """Names of one kind stand for one thing, over all documents."""

    def __init__(self, files: frozenset[str]) -> None:
        self.problems: list[Problem] = []
        self.windows: dict[str, Window] = {}
        self.lists: dict[str, AddressSet] = {}
        self.unsure: set[str] = set()
        self._files = files
        self._holidays: dict[str, Holidays] = {}
        self._seen: dict[tuple[str, str], str] = {}

    def holidays(self, mended: Mended[models.DefinitionsDocument]) -> None:
        """The holidays of a document, which the windows of all may name."""
        document = mended.document
        for name, days in (mended.model.spec.holidays or {}).items():
            self._is_new(document, "holidays", name)
            self._holidays[name] = Holidays.together(map(Holidays.of, days))
        self._lose(document, "holidays")

    def document(self, mended: Mended[models.DefinitionsDocument], *, complete: bool) -> None:
        """The windows and lists of a document. Holidays that don't exist are told if there are no others."""
        document, spec = mended.document, mended.model.spec
        for name, window in (spec.windows or {}).items():
            self._is_new(document, "windows", name)
            self.windows[name] = self._window(document, ("spec", "windows", name), window, complete=complete)
        for name, entries in (spec.addresses or {}).items():
            if self._is_new(document, "addresses", name) and name in self._files:
                hint = "rename one of the two"
                message = f"the configuration names a list `{name}`, too"
                self.problems.append(problem_at(document, ("spec", "addresses", name), message, hint, key=True))
            self.lists[name] = AddressSet(map(parse_entry, entries))
        self._lose(document, "windows")
        self._lose(document, "addresses")

    def _window(self, document: Document, path: Path, model: WindowModel, *, complete: bool) -> Window:
        lists = []
        for number, name in enumerate(model.holidays or ()):
            if name in self._holidays:
                lists.append(self._holidays[name])
            elif name not in self.unsure and complete:
                hint = did_you_mean(name, self._holidays) or "define them under `holidays`"
                self.problems.append(
                    problem_at(document, (*path, "holidays", number), f"no holidays are called `{name}`", hint)
                )
        spans = tuple(
            Span(days=frozenset(map(DAYS.index, hours.days or DAYS)), begin=hours.begin, end=hours.end)
            for hours in model.hours
        )
        return Window(zone=zone_named(model.zone), spans=spans, holidays=Holidays.together(lists))

    def _is_new(self, document: Document, block: str, name: str) -> bool:
        path: Path = ("spec", block, name)
        place = f"{document.file}:{document.key_place(path)[0]}"
        first = self._seen.setdefault((block, name), place)
        if first is not place:
            message = f"`{name}` is defined already"
            self.problems.append(problem_at(document, path, message, f"see {first}", key=True))
        return first is place

    def _lose(self, document: Document, block: str) -> None:
        self.unsure |= {str(name) for name in document.lost(("spec", block))}


def _problem(node: tree.Expr, message: str, hint: str) -> cel_errors.Problem:
    span = node.span
    return cel_errors.Problem(message, span.line, span.column, span.end_line, span.end_column, hint)
