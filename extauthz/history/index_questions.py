"""What the index of the audit is asked, as statements of SQL.

The rule: a statement walks along an index of what is asked and of the time, never through the whole table.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from extauthz.history.index_form import WORDED

ANY: Final = "*"
"""In a path that is looked for: any text, also none."""
KINDS: Final = ("allow", "challenge", "hold", "deny")
"""What decisions are counted by."""
FUNNEL: Final = ("challenge.opened", "challenge.shown", "challenge.met", "challenge.failed", "challenge.expired")
"""What is counted of events."""
BY: Final = {
    "trace": "decisions_by_trace",
    "subject": "decisions_by_subject",
    "path": "decisions_by_path",
    "workload": "decisions_by_workload",
    "rule": "decisions_by_rule",
    "reason": "decisions_by_reason",
    "host": "decisions_by_host",
    "decision": "decisions_by_decision",
}
"""By filter the index that can be walked; the first ones mostly leave the least."""
SHOWN: Final = ("decision", "reason", "rule", "subject", "workload", "host", "method", "path")
"""What is told of a decision, as text."""
_TEXTS: Final = ", ".join(
    f"(SELECT word FROM words WHERE words.id = {column})" if column in WORDED else column  # noqa: S608 - columns and tables are put in, values are bound
    for column in SHOWN
)
SELECTED: Final = f"SELECT at, id, decision_id, {_TEXTS} FROM decisions"  # noqa: S608 - columns and tables are put in, values are bound
_BLOCKED: Final = "decision IS NOT (SELECT id FROM words WHERE word = 'allow')"
"""Each index that is walked tells it: no row is looked at for it."""
_LAST: Final = 0x10FFFF
_SURROGATES: Final = range(0xD800, 0xE000)

Numbers = Mapping[str, object]
"""By column the number of the word that is wanted there, or the trace. The index of the first is walked."""
ENOUGH: Final = 2_000
"""Decisions after which a filter counts as one that leaves many."""
Asked = tuple[str, dict[str, object]]
"""A statement, and its values."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text with `ANY` in it. Whether a text fits is linear in both."""

    text: str

    @property
    def low(self) -> str:
        """What all that fit begin with."""
        return self.text.partition(ANY)[0]

    @property
    def high(self) -> str | None:
        """The first text, by its bytes in UTF-8, behind all that begin so; `None` if there is none."""
        for end in range(len(self.low), 0, -1):
            following = ord(self.low[end - 1]) + 1
            if following <= _LAST:
                return self.low[: end - 1] + chr(_SURROGATES.stop if following in _SURROGATES else following)
        return None

    @property
    def is_beginning(self) -> bool:
        """Whether all that begin so fit."""
        return self.text == self.low + ANY

    def fits(self, text: str) -> bool:
        """Whether a text is like that."""
        first, *middle, last = self.text.split(ANY)
        if not text.startswith(first) or len(text) < len(first) + len(last) or not text.endswith(last):
            return False
        at, end = len(first), len(text) - len(last)
        for part in middle:  # each as early as there is room for it: the later ones have the most left
            found = text.find(part, at, end)
            if found < 0:
                return False
            at = found + len(part)
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which decisions are looked for. `equal` are values by the names of `BY`, `path` is what theirs is like, `blocked`
    leaves out those that are allows; `since` and `until` are nanoseconds since the epoch, the first within, the second
    not; `before` is the `place` of a decision: only older ones."""

    equal: Mapping[str, str] = field(default_factory=dict)
    path: Pattern | None = None
    blocked: bool = False
    since: int | None = None
    until: int | None = None
    before: tuple[int, int] | None = None


def listing(wanted: Wanted, numbers: Numbers) -> Asked:
    """The newest that are wanted, `most` of them. Those whose path is not like that are walked past."""
    terms, values = _terms(wanted, numbers)
    if wanted.path is not None:
        terms.append(_is_like(wanted.path, values))
    walk = f"{SELECTED} INDEXED BY {_walked(numbers)} {_where(terms)}"
    return f"{walk} ORDER BY at DESC, id DESC LIMIT :most", values


def leaving(column: str, number: object, wanted: Wanted) -> Asked:
    """How many decisions of the time that is wanted have this there; of more than `ENOUGH` no more is known."""
    terms, values = _terms(Wanted(since=wanted.since, until=wanted.until, before=wanted.before), {column: number})
    within = f"SELECT 1 FROM decisions INDEXED BY {BY[column]} {_where(terms)} LIMIT {ENOUGH}"  # noqa: S608 - columns and tables are put in, values are bound
    return f"SELECT count(*) FROM ({within})", values  # noqa: S608 - columns and tables are put in, values are bound


def used(column: str) -> str:
    """The words that decisions have there, `:most` of them: each is stepped to, past all that have the one before."""
    least = f"SELECT min({column}) FROM decisions INDEXED BY {BY[column]} WHERE {column}"  # noqa: S608 - columns and tables are put in, values are bound
    return (
        f"WITH RECURSIVE known(id) AS ({least} IS NOT NULL UNION ALL "  # noqa: S608 - columns and tables are put in, values are bound
        f"SELECT ({least} > known.id) FROM known WHERE known.id IS NOT NULL LIMIT :most) "
        "SELECT word FROM known JOIN words ON words.id = known.id"
    )


def paths(pattern: Pattern) -> Asked:
    """The numbers of the words that are like that."""
    values: dict[str, object] = {}
    return f"SELECT id FROM words WHERE {_like(pattern, values)}", values  # noqa: S608 - columns and tables are put in, values are bound


def on_path(wanted: Wanted, numbers: Numbers) -> Asked:
    """The places of the newest that are wanted on the path with the number `:path`, `most` of them, from the moment
    `:floor` on."""
    terms, values = _terms(wanted, numbers)
    terms[:0] = ["path = :path", "at >= :floor"]
    sql = (
        f"SELECT at, id FROM decisions INDEXED BY {BY['path']} "  # noqa: S608 - columns and tables are put in, values are bound
        f"{_where(terms)} ORDER BY at DESC, id DESC LIMIT :most"
    )
    return sql, values


def counting(wanted: Wanted, numbers: Numbers, *, by_path: bool) -> Asked:
    """How many decisions that are wanted there were of each kind, by its number, in each interval of `:width`
    nanoseconds. `by_path` is whether to look each path up that is like that."""
    terms, values = _terms(wanted, numbers)
    walked = BY["path"] if by_path else _walked(numbers)
    if wanted.path is not None and by_path:
        terms.append(f"path IN (SELECT id FROM words WHERE {_like(wanted.path, values)})")  # noqa: S608 - columns and tables are put in, values are bound
    elif wanted.path is not None:
        terms.append(_is_like(wanted.path, values))
    sql = (
        f"SELECT (at - :since) / :width, decision, count(*) FROM decisions INDEXED BY {walked} "  # noqa: S608 - columns and tables are put in, values are bound
        f"{_where(terms)} GROUP BY 1, 2"
    )
    return sql, values


def counting_events(wanted: Wanted, numbers: Numbers) -> Asked:
    """How many events of `FUNNEL` there were that such decisions began, whenever these were, in each interval of
    `:width` nanoseconds."""
    terms, values = _terms(Wanted(path=wanted.path), numbers)
    if wanted.path is not None:
        terms.append(_is_like(wanted.path, values))
    began = " AND ".join(["decisions.decision_id = events.decision_id", *terms])
    kinds = ", ".join(f"'{kind}'" for kind in FUNNEL)
    sql = (
        "SELECT (at - :since) / :width, event, count(*) FROM events INDEXED BY events_by_kind "  # noqa: S608 - columns and tables are put in, values are bound
        f"WHERE event IN ({kinds}) AND at >= :since AND at < :until AND EXISTS "
        f"(SELECT 1 FROM decisions INDEXED BY decisions_by_id WHERE {began}) GROUP BY 1, 2"
    )
    return sql, {**values, "since": wanted.since, "until": wanted.until}


def _walked(numbers: Numbers) -> str:
    return next((BY[column] for column in numbers), "decisions_by_time")


def _terms(wanted: Wanted, numbers: Numbers) -> tuple[list[str], dict[str, object]]:
    values: dict[str, object] = dict(numbers)
    terms = [f"{column} = :{column}" for column in numbers]
    terms += _times(wanted, values)
    if wanted.blocked:
        terms.append(_BLOCKED)
    return terms, values


def _times(wanted: Wanted, values: dict[str, object]) -> Iterator[str]:
    if wanted.since is not None:
        yield "at >= :since"
        values["since"] = wanted.since
    if wanted.until is not None:
        yield "at < :until"
        values["until"] = wanted.until
    if wanted.before is not None:
        yield "at <= :at AND (at < :at OR id < :id)"
        values["at"], values["id"] = wanted.before


def _is_like(pattern: Pattern, values: dict[str, object]) -> str:
    """The condition on the path of a decision."""
    return f"EXISTS (SELECT 1 FROM words WHERE words.id = path AND {_like(pattern, values)})"  # noqa: S608 - columns and tables are put in, values are bound


def _like(pattern: Pattern, values: dict[str, object]) -> str:
    """The condition on `word`, by a function `fits` where it takes one."""
    values["low"], values["high"] = pattern.low, pattern.high
    terms = ["word >= :low"]
    if pattern.high is not None:
        terms.append("word < :high")
    if not pattern.is_beginning:
        terms.append("fits(word)")
    return " AND ".join(terms)


def _where(terms: list[str]) -> str:
    return f"WHERE {' AND '.join(terms)}" if terms else ""
