"""The options by which commands pick records, the same for all, and the files of an audit that they look at.

The rule kept here: a time without a zone is in UTC, as records are, and one without a date is the last that there was.
"""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, Final, get_args

import typer

from extauthz.cli.config_option import DEFAULT_CONFIG
from extauthz.errors import ConfigurationError
from extauthz.history.audit_files import each_once, written_by
from extauthz.history.wanted import DECISIONS, Wanted, WantedDecision
from extauthz.identity import spiffe
from extauthz.record.instants import moment_of, rfc3339
from extauthz.record.life import LifeKind

_TRACE: Final = re.compile("[0-9a-f]{32}")  # W3C Trace Context section 3.2.2.3
_KINDS: Final = frozenset({DECISIONS, *get_args(LifeKind), *(kind.partition(".")[0] for kind in get_args(LifeKind))})

Files = Annotated[
    list[Path] | None,
    typer.Argument(metavar="FILE", help="Audit files; those of the configuration without any.", show_default=False),
]
AuditConfig = Annotated[
    Path | None,
    typer.Option("--config", help="The configuration whose `audit.path` is meant.", envvar="EXTAUTHZ_CONFIG"),
]


def wanted_by(
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="From then on: `2h` ago, `10:42`, `2026-11-22T10:42`."),
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Before then.")] = None,
    decision: Annotated[
        WantedDecision | None, typer.Option("--decision", help="Only these decisions; `blocked` are all but allows.")
    ] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="REASON", help="Only what has this reason; `*` is any text.")
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            "--rule",
            metavar="POLICY/RULE",
            help="Only what this rule decided or wants to be met; * stands for any text.",
        ),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option("--subject", metavar="SUBJECT", help="Only what is on this user (`sub`) or workload (SPIFFE ID)."),
    ] = None,
    workload: Annotated[
        str | None, typer.Option("--workload", metavar="SPIFFE-ID", help="Only of this workload.")
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", metavar="HOST", help="Only to this host; `*` is any text.")
    ] = None,
    path: Annotated[
        str | None, typer.Option("--path", metavar="PATH", help="Only on this path; `*` is any text.")
    ] = None,
    trace: Annotated[
        str | None, typer.Option("--trace", metavar="TRACE-ID", help="Only what is of this trace.")
    ] = None,
    decision_id: Annotated[
        str | None, typer.Option("--id", metavar="DECISION-ID", help="Only this decision, and what it has begun.")
    ] = None,
    events: Annotated[
        list[str] | None,
        typer.Option(
            "--event",
            metavar="KIND",
            help="Only these: `decision`, `challenge`, `approval.voted`, `audit`, …; may be given several times.",
        ),
    ] = None,
) -> Wanted:
    """The records that these options pick."""
    first, last = moment(since, "--since"), moment(until, "--until")
    if last and last <= first:
        reason = (
            f"{last.decode()} is not after --since, {first.decode()}; a time without a date is the last that there was"
        )
        raise typer.BadParameter(reason, param_hint="--until")
    return Wanted(
        since=first,
        until=last,
        decision=decision,
        reason=reason,
        rule=rule,
        subject=_said(subject, "--subject"),
        workload=_workload(workload),
        host=host,
        path=path,
        trace=_trace(trace),
        decision_id=_said(decision_id, "--id"),
        kinds=_kinds(events),
    )


def picking(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options of `wanted_by` in the place of its parameter `wanted`."""
    options = signature(wanted_by).parameters

    @wraps(command)
    def picked(**given: Any) -> None:  # noqa: ANN401 - they are the command's, and typer has seen to their types
        command(wanted=wanted_by(**{name: given.pop(name) for name in options}), **given)

    taken = signature(command).parameters.values()
    shown = [option for one in taken for option in (options.values() if one.name == "wanted" else (one,))]
    # What typer reads; by keyword alone, since those without a default need not be the first then.
    picked.__signature__ = Signature([one.replace(kind=Parameter.KEYWORD_ONLY) for one in shown])  # type: ignore[attr-defined] # it is what `inspect` looks for
    picked.__annotations__ = {one.name: one.annotation for one in shown}
    return picked


def files_of(files: list[Path] | None, config: Path | None) -> list[Path]:
    """The files that are named, or else those of the configuration, with what rotations made of them.

    Raises:
        ExtauthzError: there is none, or it can't be looked at.
    """
    return each_once(files) if files else written_by(audit_of(config))


def audit_of(config: Path | None) -> Path:
    """The file that servers of this configuration append to.

    Raises:
        ExtauthzError: the configuration can't be used, or it names none.
    """
    # Imported here: most of these commands need no settings.
    from extauthz.settings import load_settings

    settings = load_settings(config or DEFAULT_CONFIG)
    if settings.audit is None:
        raise ConfigurationError(f"{config or DEFAULT_CONFIG}: no `audit.path` is set; name the audit files")
    return settings.base / settings.audit.path


def moment(text: str | None, option: str, *, now: float | None = None) -> bytes:
    """A time on the command line as lines have it; empty for none."""
    if text is None:
        return b""
    now = time.time() if now is None else now
    try:
        at = moment_of(text, datetime.fromtimestamp(now, UTC))
    except (ValueError, OverflowError):
        reason = "not a time; write `2h` for two hours ago, `10:42`, or `2026-11-22T10:42`"
        raise typer.BadParameter(reason, param_hint=option) from None
    whole = int((at - datetime.fromtimestamp(0, UTC)).total_seconds())
    return rfc3339(whole * 1_000_000_000 + at.microsecond * 1000).encode()


def _said(text: str | None, option: str) -> str | None:
    if text is not None and not text.strip():
        raise typer.BadParameter("has no name; leave it out for all of them", param_hint=option)
    return text


def _trace(text: str | None) -> str | None:
    if text is not None and _TRACE.fullmatch(text) is None:
        reason = f"`{text}` is no id of a trace; write its 32 digits of lower-case hex"
        raise typer.BadParameter(reason, param_hint="--trace")
    return text


def _workload(text: str | None) -> str | None:
    if text is not None and spiffe.parse(text, verified_by="") is None:
        reason = f"`{text}` is no SPIFFE ID; write `spiffe://DOMAIN/PATH`, the domain in lower case"
        raise typer.BadParameter(reason, param_hint="--workload")
    return text


def _kinds(events: list[str] | None) -> frozenset[str]:
    """The kinds that are wanted."""
    for event in events or ():
        if event not in _KINDS:
            known = ", ".join(sorted(kind for kind in _KINDS if "." not in kind))
            raise typer.BadParameter(f"`{event}` is no kind of record; there are {known}", param_hint="--event")
    return frozenset(events or ())
