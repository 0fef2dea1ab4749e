"""Why a rule is no candidate for a request: each match field that does not fit.

A second, plain reading of what the index looks up. The rule kept here: every rule is either a candidate or has a
mismatch; a property test holds the two readings against each other.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from extauthz import cel
from extauthz.policy.plain import shown
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.rules import Rule
from extauthz.policy.views import timestamp_parts
from extauthz.values.identity import Identity
from extauthz.values.request import HttpRequest, RequestView

MatchField = Literal["host", "method", "path", "workload", "tcp", "expired"]


class Mismatch(msgspec.Struct, frozen=True, kw_only=True):
    """One match field that does not fit: what the rule wants, any one of them, and what the request has.

    `got` is `None` where it has none: no workload, a check without HTTP.
    """

    field: MatchField
    wanted: tuple[str, ...] = ()
    got: str | None = None

    def __str__(self) -> str:
        match self.field:
            case "tcp":
                return "the rule is not for TCP checks"
            case "expired":
                return f"the rule expired at {self.got}"
            case "host" | "method" | "path" | "workload":
                got = f"no {self.field}" if self.got is None else f"the {self.field} `{self.got}`"
                return f"{got} where {_any_of(self.wanted)} is wanted"


class Other(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that is no candidate, and why. `near` orders them: how far it is from being one."""

    rule: Rule
    mismatches: tuple[Mismatch, ...]
    near: tuple[int, int]


def others(
    policies: PolicySet, candidates: Iterable[str], *, request: RequestView, identity: Identity, now: float
) -> tuple[Other, ...]:
    """Every rule but the `candidates`, the nearest first: with the fewest mismatches, then with most of the path."""
    known = frozenset(candidates)
    found = []
    for rule in policies.rules:
        if rule.name not in known:
            why = tuple(mismatches(rule, request=request, identity=identity, now=now))
            found.append(Other(rule=rule, mismatches=why, near=(len(why), -_of_path(rule, request))))
    return tuple(sorted(found, key=lambda other: (other.near, other.rule.name)))


def mismatches(rule: Rule, *, request: RequestView, identity: Identity, now: float) -> Iterator[Mismatch]:
    """The match fields of a rule that do not fit; none for a candidate that has not expired."""
    place, http = rule.place, request.http
    if rule.expires is not None and now >= rule.expires:
        yield Mismatch(field="expired", got=shown(cel.Timestamp(*timestamp_parts(rule.expires))))
    if http is None:
        if not place.tcp:
            yield Mismatch(field="tcp")
    else:
        yield from _http_mismatches(rule, http)
    workload = None if identity.workload is None else identity.workload.id
    if place.workloads and (workload is None or not any(pattern.fits(workload) for pattern in place.workloads)):
        yield Mismatch(field="workload", wanted=tuple(map(str, place.workloads)), got=workload)


def _http_mismatches(rule: Rule, http: HttpRequest) -> Iterator[Mismatch]:
    place = rule.place
    if place.hosts and not any(host.fits(http.host) for host in place.hosts):
        yield Mismatch(field="host", wanted=tuple(map(str, place.hosts)), got=http.host)
    # GET covers HEAD.
    if place.methods and http.method not in place.methods and not (http.method == "HEAD" and "GET" in place.methods):
        yield Mismatch(field="method", wanted=place.methods, got=http.method)
    # `OPTIONS *` and CONNECT name no path: no template fits them.
    named = http.path.startswith("/")
    if place.templates and not (named and any(template.fits(http.segments) for template in place.templates)):
        yield Mismatch(field="path", wanted=tuple(map(str, place.templates)), got=http.path)


def _of_path(rule: Rule, request: RequestView) -> int:
    """How many segments of the request's path some template of the rule fits."""
    if request.http is None:
        return 0
    return max((template.fitting(request.http.segments) for template in rule.place.templates), default=0)


def _any_of(words: tuple[str, ...]) -> str:
    shown_words = [f"`{word}`" for word in words[:3]]
    more = f" or {len(words) - 3} more" if len(words) > 3 else ""
    return " or ".join(shown_words) + more
