"""Hosts and workloads that the configuration says never to come: names that are misspelt, or left from another place.

Only what the configuration lists is compared: without `trust_domains` any is known, without `request.hosts` any host.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from extauthz.cel import Program, tree
from extauthz.policy import hosts
from extauthz.policy.hosts import HostPattern
from extauthz.policy.lint.findings import Finding, Subject
from extauthz.policy.lint.overlap import shown
from extauthz.policy.lint.presence import field_of, shape
from extauthz.policy.lint.telling import Told
from extauthz.policy.problems import Path
from extauthz.policy.workloads import parse
from extauthz.values.decisions import Factor

_SCHEME = "spiffe://"
_TRUST_DOMAIN = field_of("workload", "trust_domain")


class Configured(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration lists; `None` where it lists nothing. `factors` are those that can be proven under it,
    `touch_every` is how often, in seconds, the activity of a session is written. `is_answered` is whether approvers can
    answer at all, `approver_factors` are those that they can prove, `schedules` are those by which somebody is on
    call. `told` are rules that somebody is to be told of."""

    trust_domains: frozenset[str] | None = None
    hosts: tuple[HostPattern, ...] | None = None
    factors: frozenset[Factor] | None = None
    touch_every: float | None = None
    is_answered: bool | None = None
    approver_factors: frozenset[Factor] | None = None
    schedules: frozenset[str] | None = None
    told: tuple[Told, ...] = ()


def findings(rules: Iterable[Subject], configured: Configured) -> Iterator[Finding]:
    """The warnings of these kinds."""
    for subject in rules:
        if configured.trust_domains is not None:
            yield from _workloads(subject, configured.trust_domains)
        if configured.hosts is not None:
            yield from _hosts(subject, configured.hosts)


def _workloads(subject: Subject, known: frozenset[str]) -> Iterator[Finding]:
    for number, text in enumerate(subject.model.workloads or ()):
        trust_domain = parse(text).segments[0]
        if trust_domain is not None and trust_domain not in known:
            yield _foreign(subject, subject.document.place((*subject.path, "workloads", number)), trust_domain, known)
    if subject.rule.when is not None:
        for node, trust_domain in _named(subject.rule.when):
            if trust_domain not in known:
                span = node.span
                place = subject.document.place_in((*subject.path, "when"), span.line, span.column)
                yield _foreign(subject, place, trust_domain, known)


def _foreign(subject: Subject, place: tuple[int, int], trust_domain: str, known: Iterable[str]) -> Finding:
    return subject.finding_at(
        "foreign-workload",
        place,
        f"the trust domain `{trust_domain}` is not configured: no workload of it is ever known",
        f"`identity.workload.trust_domains` lists {shown(sorted(known))}",
        topic=trust_domain,
    )


def _named(program: Program) -> Iterator[tuple[tree.Expr, str]]:
    """The trust domains that a condition names: in SPIFFE IDs, and where it compares `workload.trust_domain`."""
    for node in tree.walk(program.tree):
        match node:
            case tree.Constant(value=str() as text) if text.startswith(_SCHEME):
                yield node, text.removeprefix(_SCHEME).partition("/")[0]
            case tree.Call(function="_==_", args=(left, tree.Constant(value=str() as text) as literal)):
                if shape(left) == _TRUST_DOMAIN:
                    yield literal, text
            case tree.Call(function="@in", args=(left, tree.ListDisplay(elements=elements))):
                if shape(left) == _TRUST_DOMAIN:
                    for element in elements:
                        if isinstance(element.value, tree.Constant) and isinstance(element.value.value, str):
                            yield element.value, element.value.value
            case _:
                pass


def _hosts(subject: Subject, known: Sequence[HostPattern]) -> Iterator[Finding]:
    """The rule's own hosts; those of its policy are told at the first rule."""
    written: list[tuple[Path, str]] = [
        ((*subject.path, "hosts", n), text) for n, text in enumerate(subject.model.hosts or ())
    ]
    if subject.path[-1] == 0:
        written += [(("spec", "hosts", n), text) for n, text in enumerate(subject.policy_hosts)]
    for path, text in written:
        if not hosts.both([hosts.parse(text)], known):
            yield subject.finding_at(
                "foreign-host",
                subject.document.place(path),
                f"the host `{text}` is none of the configured ones",
                "correct it, or add it to `request.hosts` of the configuration",
                topic=text,
            )
