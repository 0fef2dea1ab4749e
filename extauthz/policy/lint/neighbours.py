"""Allows that also reach what stands beside a guard: paths under its prefix, other methods, other hosts.

An allow is warned of once for each of these, with all the guards that it goes round. The rule kept here: what another
guard of the same effect covers is guarded. A guard that ends in `/**` takes all that is below it; what stands beside
it was left open on purpose.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from extauthz.policy.index import Place
from extauthz.policy.lint.conditions import always_true
from extauthz.policy.lint.findings import Finding, Subject
from extauthz.policy.lint.nearby import Nearby
from extauthz.policy.lint.overlap import covers, hosts_cover, intersection, methods_of, segments_meet, shown
from extauthz.policy.templates import Template

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""RFC 9110 section 9.2.1. An allow that names them beside what a guard names means reading and writing to differ."""

_MOST_RELATED: Final = 10


def findings(rules: Sequence[Subject]) -> Iterator[Finding]:
    """The warnings of these kinds."""
    guards = [subject for subject in rules if subject.rule.effect != "allow" and subject.rule.mode != "shadow"]
    nearby = Nearby(subject.rule.place for subject in guards)
    for subject in rules:
        if subject.rule.effect != "allow":
            continue
        found = [guards[number] for number in nearby.find(subject.rule.place)]
        for kind, steps, beside, words in _CHECKS:
            missed = [guard for guard in found if _misses(subject.rule.place, guard, found, beside)]
            if missed:
                yield _finding(subject, kind, steps, words, missed)


Beside = Callable[[Place, Place], Iterator[Place]]


def _misses(allow: Place, guard: Subject, found: Sequence[Subject], beside: Beside) -> bool:
    """Whether some place beside the guard is allowed, and no guard like it or deny of everything covers that."""
    kin = [other.rule.place for other in found if other.rule.effect == guard.rule.effect or _denies_all(other)]
    allowed = (intersection(allow, place) for place in beside(allow, guard.rule.place))
    return any(place is not None and not any(covers(other, place) for other in kin) for place in allowed)


def _denies_all(subject: Subject) -> bool:
    return subject.rule.effect == "deny" and subject.rule.mode == "enforce" and always_true(subject.rule.when)


def _finding(
    subject: Subject, kind: str, steps: tuple[str, ...], words: tuple[str, str], missed: Sequence[Subject]
) -> Finding:
    what, hint = words
    guards = shown(guard.rule.name for guard in missed)
    return subject.finding(
        kind,
        steps,
        f"the allow `{subject.rule.name}` also covers {what} that {guards} {'do' if len(missed) > 1 else 'does'} not "
        "guard",
        hint,
        related=tuple(guard.related() for guard in missed[:_MOST_RELATED]),
    )


def _paths_beside(allow: Place, guard: Place) -> Iterator[Place]:
    """What is below a path that the guard names alone and the allow does not."""
    wide = allow.templates or (Template((), tail=True),)
    for template in guard.templates:
        if not template.tail and any(other.tail and segments_meet(other, template) for other in wide):
            yield replace(guard, templates=(Template((*template.segments, None), tail=True),), tcp=False)


def _methods_beside(allow: Place, guard: Place) -> Iterator[Place]:
    """The guard's place with each method that the allow adds; with any, if it names none."""
    if guard.methods and not allow.methods:
        yield replace(guard, methods=(), tcp=False)
    elif guard.methods:
        for method in sorted(methods_of(allow) - methods_of(guard) - _SAFE):
            yield replace(guard, methods=(method,))


def _hosts_beside(allow: Place, guard: Place) -> Iterator[Place]:
    """The guard's paths on each host that the allow adds. A guard for whole hosts means these and no others."""
    if guard.hosts and guard.templates and not allow.hosts:
        yield replace(guard, hosts=())
    elif guard.hosts and guard.templates:
        for host in allow.hosts:
            if not hosts_cover(guard.hosts, (host,)):
                yield replace(guard, hosts=(host,))


_CHECKS: Final[tuple[tuple[str, tuple[str, ...], Beside, tuple[str, str]], ...]] = (
    (
        "guard-misses-paths",
        ("paths",),
        _paths_beside,
        ("paths beside and below those", "end the guard's paths in `/**`, or name single paths in the allow"),
    ),
    (
        "guard-misses-methods",
        ("methods",),
        _methods_beside,
        ("methods", "remove the guard's `methods`, or name the allow's"),
    ),
    (
        "guard-misses-hosts",
        ("hosts",),
        _hosts_beside,
        ("hosts", "remove the guard's `hosts`, or name the allow's"),
    ),
)
