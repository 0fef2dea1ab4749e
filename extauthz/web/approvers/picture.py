"""What an approver is shown of a request: every line of it is text that somebody else may have written.

The rule: nothing is left out because it is odd, and nothing is markup; templates escape, and show what is not visible.
What is left out says nothing: claims that another line says, or that every token has.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from extauthz.stepup.factors import FACTOR_AMR, PRESENCE_AMR
from extauthz.values.approvals import Approval, Picture
from extauthz.web.rendering import clock

_FACTORS: Final[Mapping[str, str]] = {
    FACTOR_AMR["totp"]: "a one-time code",
    FACTOR_AMR["webauthn"]: "a security key or passkey",
    FACTOR_AMR["oidc"]: "a new login",
    FACTOR_AMR["recovery"]: "a recovery code",
    PRESENCE_AMR: "the touch of a security key",
}

_TIMES: Final[Mapping[str, str]] = {"auth_time": "Logged in at", "iat": "Token issued at", "exp": "Token good until"}
"""Registered claims that are times (RFC 7519 section 4.1, OpenID Connect Core section 2), as people call them."""
_LAST_YEAR: Final = 253_370_764_800
"""The year 9999 begins, in seconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Lines under a heading: what each is called, and what it says."""

    title: str
    lines: tuple[tuple[str, str], ...]


def sections_of(approval: Approval) -> tuple[Section, ...]:
    """All that is shown of what was asked, without headings that have nothing under them."""
    picture = approval.picture
    found = (
        Section(title="What is asked", lines=tuple(_what(picture))),
        Section(title="Who asks", lines=tuple(_who(picture))),
        Section(title="Why the rule asks", lines=tuple(_why(approval))),
    )
    return tuple(one for one in found if one.lines)


def title_of(approval: Approval) -> str:
    """What an approval is called."""
    return approval.picture.description or approval.rule


def factor_in_words(amr: str) -> str:
    """What people call a factor that was proven; `amr` is a word that grants have, perhaps with a class behind it."""
    return _FACTORS.get(amr.partition(" ")[0], amr)


def _what(picture: Picture) -> Iterator[tuple[str, str]]:
    yield from picture.show.items()
    if picture.method:
        yield "Request", f"{picture.method} {picture.scheme or 'https'}://{picture.target}"
    for name, values in picture.query.items():
        yield f"?{name}", ", ".join(values)
    if picture.masked:
        yield "Not shown", ", ".join(picture.masked)
    if picture.body_bytes is not None:
        yield "Body", f"{picture.body_bytes} bytes"


def _who(picture: Picture) -> Iterator[tuple[str, str]]:
    if picture.user:
        yield "User", picture.user
        yield "Known by", picture.issuer
    for name, value in picture.claims.items():
        if not _says_nothing(name, value, picture):
            yield _TIMES.get(name, name), _moment(value) if name in _TIMES else _text(value)
    if picture.actors:
        yield "Acting for the user", " for ".join(picture.actors)
    if picture.workload:
        yield "Workload", picture.workload
    if picture.client_ip:
        yield "Address", picture.client_ip
    for name, value in picture.place.items():
        yield name, _text(value)


def _why(approval: Approval) -> Iterator[tuple[str, str]]:
    picture = approval.picture
    yield "Rule", approval.rule
    if picture.why:
        yield "Asks when", picture.why
    for risk in picture.risk:
        yield f"Risk by {risk.model}", f"{risk.level}, {risk.score:g}"
        if risk.signals:
            yield "Signals", ", ".join(risk.signals)
    if picture.revision:
        yield "Policies", picture.revision
    if picture.decision_id:
        yield "Decision", picture.decision_id


def _says_nothing(name: str, value: Any, picture: Picture) -> bool:  # noqa: ANN401 - as `_text`
    match name:
        case "sub":
            return bool(value == picture.user)
        case "iss":
            return bool(value == picture.issuer)
        case "nbf":
            return _is_time(value)
        case _:
            return False


def _is_time(value: Any) -> bool:  # noqa: ANN401 - as `_text`
    """Whether it is a NumericDate (RFC 7519 section 2) of years that calendars have."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LAST_YEAR


def _moment(value: Any) -> str:  # noqa: ANN401 - as `_text`
    return clock(value) if _is_time(value) else _text(value)


def _text(value: Any) -> str:  # noqa: ANN401 - whatever a claim or a database says
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
