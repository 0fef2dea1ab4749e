"""Approvals as the commands show them to people.

The rule kept here: what a request brought can't move a terminal's cursor.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from extauthz.cli.printable import printable

_STYLES: Final = {
    "pending": "magenta",
    "approved": "green",
    "denied": "red",
    "expired": "dim",
    "cancelled": "dim",
    "approve": "green",
    "deny": "red",
    "justified": "green",
    "unjustified": "red",
}
_ROOMY: Final = 160
"""Columns of a terminal from which everything has a column of its own."""
_LONGEST_SHOWN: Final = 32
"""Characters of a value that a list shows; all of it is in the picture of one."""
Told = Mapping[str, Any]
"""An approval as `approval.view` describes it."""


def table(approvals: Iterable[Told], *, width: int) -> Table:
    """A row for each, on a console of that width; where it is narrow, all but the id is folded beside it."""
    if width < _ROOMY:
        return _narrow(approvals)
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("id", "status", "opened", "rule"):
        drawn.add_column(name, no_wrap=True)
    for name in ("who", "what", "shown", "votes"):
        drawn.add_column(name, overflow="fold")
    for one in approvals:
        drawn.add_row(*_cells(one))
    return drawn


def _narrow(approvals: Iterable[Told]) -> Table:
    drawn = Table.grid(padding=(0, 2))
    drawn.add_column(no_wrap=True)
    drawn.add_column(overflow="fold")
    for one in approvals:
        id_, *others = _cells(one)
        drawn.add_row(id_, Text("  ").join(cell for cell in others if cell))
    return drawn


def line(one: Told) -> Text:
    """One line, for a list that grows."""
    return Text("  ").join(_cells(one))


def picture(one: Told) -> RenderableType:
    """All of one approval."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for name, value in _lines(one):
        if value:
            grid.add_row(name, value if isinstance(value, Text) else Text(printable(value)))
    return Group(grid, _votes(one["votes"])) if one["votes"] else grid


def _cells(one: Told) -> tuple[Text, ...]:
    resource, action = one["resource"], one["action"]
    return (
        Text(printable(one["id"])),
        _status(one),
        Text(printable(one["opened_at"]), "dim"),
        Text(printable(one["rule"])),
        Text(printable(_who(one))),
        Text(printable(f"{action['name']} {resource['id']}")),
        Text(", ".join(_shown(resource["properties"]["show"]))),
        Text(" ").join(_marks(one["votes"])),
    )


def _status(one: Told) -> Text:
    status = Text(one["status"], _STYLES.get(one["status"], "bold"))
    broken = one["break_glass"]
    if broken is not None:
        status.append(" by break-glass", "bold red" if broken["review"] is None else "red")
    if one["revoked"] is not None:
        status.append(" and revoked", "red")
    return status


def _who(one: Told) -> str:
    subject = one["subject"]
    through = subject["properties"]["workload"]
    return f"{subject['id']} through {through}" if through and through != subject["id"] else str(subject["id"])


def _shown(values: Mapping[str, str]) -> Iterator[str]:
    for name, value in values.items():
        text = value if len(value) <= _LONGEST_SHOWN else f"{value[: _LONGEST_SHOWN - 1]}…"
        yield f"{printable(name)}={printable(text)}"


def _marks(votes: Sequence[Mapping[str, Any]]) -> Iterator[Text]:
    for vote in votes:
        sign = "+" if vote["stance"] == "approve" else "-"
        yield Text(f"{sign}{printable(vote['person'])}", _STYLES.get(vote["stance"], "bold"))


def _lines(one: Told) -> Iterator[tuple[str, str | Text]]:
    subject, resource, context = one["subject"], one["resource"], one["context"]
    properties = resource["properties"]
    yield "id", one["id"]
    yield "status", _status(one)
    yield "rule", one["rule"]
    yield "", one["description"]
    yield "asks because", one["why"]
    yield "who", subject["id"]
    yield "issuer", subject["properties"]["issuer"]
    yield "acting", ", ".join(subject["properties"]["actors"])
    yield "through", subject["properties"]["workload"]
    yield "what", f"{one['action']['name']} {resource['id']}"
    for name, value in properties["show"].items():
        yield f"  {name}", value
    for name, values in properties["query"].items():
        yield f"  ?{name}", ", ".join(values)
    yield "  masked", ", ".join(properties["masked"])
    yield "good for", one["bind"]
    yield "from", context["client_ip"]
    for risk in context["risk"]:
        yield "risk", f"{risk['model']}: {risk['level']} ({', '.join(risk['signals'])})"
    yield "opened", one["opened_at"]
    yield "expires", one["expires_at"] if one["status"] == "pending" else ""
    yield "since", one["status_at"] if one["status"] != "pending" else ""
    yield "asked for by", ", ".join(one["requesters"])
    yield from _asks(one.get("asked") or ())
    yield from _needs(one.get("needed"))
    for name in ("cancelled", "revoked"):
        if one[name] is not None:
            yield name, f"by {one[name]['person']}: {one[name]['reason']}"
    broken = one["break_glass"]
    if broken is not None:
        yield "break-glass", f"{broken['person']}: {broken['reason']}"
        review = broken["review"]
        yield (
            "review",
            "nobody yet" if review is None else f"{review['verdict']} ({review['person']}): {review['reason']}",
        )
    viewer = one.get("viewer")
    if viewer is not None and one["status"] == "pending":
        yield "you", "can answer" if viewer["against"] is None else f"can't answer: {viewer['against']}"


def _asks(asked: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for number, one in enumerate(asked):
        who = [f"group {name}" for name in one["groups"]] + one["subjects"]
        fits = "who fits `approvers.when`" if one["condition"] else ""
        named = " ".join(filter(None, (", ".join(who), fits))) or "nobody"
        yield ("asks", named) if number == 0 else ("", f"from {one['from']} {named}")


def _needs(needed: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    if needed is None:
        return
    yield "needs", f"{needed['approve']} to approve, {needed['deny']} to deny"
    if needed["factors"]:
        yield "", f"a fresh factor: {', '.join(needed['factors'])} within {needed['max_age']:g} s"
    if needed["reason"]:
        yield "", "a reason"


def _votes(votes: Sequence[Mapping[str, Any]]) -> Table:
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("person", "vote", "at", "by", "reason"):
        drawn.add_column(name)
    for vote in votes:
        person = vote["person"] if vote["in_place_of"] is None else f"{vote['person']} for {vote['in_place_of']}"
        way = f"{vote['channel']} {vote['factor']}".strip()
        drawn.add_row(
            Text(printable(person)),
            Text(vote["stance"], _STYLES.get(vote["stance"], "bold")),
            Text(vote["at"], "dim"),
            Text(printable(way)),
            Text(printable(vote["reason"])),
        )
    return drawn
