"""What fields of an `approve` mean together, and of a `bind`, which a `challenge` has, too.

The rule kept here is that of `together`; and what could never be given, or never be taken back, is refused.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from extauthz.policy.effect_models import ApproveBlock, Bind, Bound
from extauthz.policy.problems import Path, Problem, problem_at
from extauthz.policy.yaml_source import Document

LONGEST_HOLD: Final = 300.0
"""Seconds: the transport inside of an Envoy ends what takes longer."""


def problems_of_approve(document: Document, path: Path, block: ApproveBlock) -> Iterator[Problem]:
    """What is wrong with the fields of an `approve` together; `path` leads to it."""
    approvers = (*path, "approvers")
    message, hint = "nobody can approve", "name `groups` or `subjects`, or say `when`"
    yield from one_of(document, approvers, ("groups", "subjects", "when"), message, hint)
    if document.has((*approvers, "max_age")) and not document.has((*approvers, "factors")):
        message, hint = "`max_age` is the age of a proof, and none is asked for", "name `factors`, or remove it"
        yield problem_at(document, (*approvers, "max_age"), message, hint, key=True)
    yield from problems_of_bind(document, (*path, "bind"), block.bind)
    if is_for_one_request(block.bind) and block.uses != 1:
        message, hint = "an approval of this very request is good once", "remove it, or choose another `bind`"
        yield problem_at(document, (*path, "uses"), message, hint, key=True)
    if block.hold is not None and block.hold > LONGEST_HOLD:
        message, hint = "no call is held for longer than `5m`", "write `5m` or less; its caller asks again after that"
        yield problem_at(document, (*path, "hold"), message, hint, key=True)
    elif block.hold is not None and block.hold > block.expires_in and not document.is_lost((*path, "expires_in")):
        message, hint = "a call would wait for longer than the approval can be given", "let it be shorter"
        yield problem_at(document, (*path, "hold"), f"{message} (`expires_in`)", hint, key=True)
    yield from _enough(document, path, block)
    yield from _steps(document, path, block)


def _enough(document: Document, path: Path, block: ApproveBlock) -> Iterator[Problem]:
    """Where everybody is listed by name, there are as many as are needed."""
    circles = (block.approvers, *(block.escalate or ()))
    places: list[Path] = [("approvers",), *(("escalate", number) for number in range(len(circles) - 1))]
    if any(document.has((*path, *place, "groups")) or document.lost((*path, *place)) for place in places):
        return
    if any(not document.has((*path, *place, "subjects")) for place in places) or document.lost((*path, "escalate")):
        return
    if any(document.lost((*path, *place, "subjects")) for place in places):
        return
    named = len({subject for circle in circles for subject in circle.subjects or ()})
    for field, needed in (("min", block.min), ("deny_min", block.deny_min)):
        if needed > named:
            message = f"{needed} are needed, and {named} can answer"
            yield problem_at(document, (*path, field), message, "name more, or a group", key=True)


def _steps(document: Document, path: Path, block: ApproveBlock) -> Iterator[Problem]:
    """Each step of an escalation comes after the one before, asks somebody, and comes in time."""
    before = 0.0
    for number, step in enumerate(block.escalate or ()):
        here: Path = (*path, "escalate", number)
        yield from one_of(document, here, ("groups", "subjects"), "nobody is asked then", "name `groups` or `subjects`")
        if document.is_lost((*here, "after")) or document.lost((*path, "escalate")):
            continue
        if step.after <= before:
            message, hint = "is no later than the step before", "write the steps in the order of their times"
            yield problem_at(document, (*here, "after"), message, hint)
        if step.after >= block.expires_in and not document.is_lost((*path, "expires_in")):
            message, hint = "comes when the approval has expired (`expires_in`)", "let it be shorter"
            yield problem_at(document, (*here, "after"), message, hint)
        before = step.after


def problems_of_bind(document: Document, path: Path, bind: Bind) -> Iterator[Problem]:
    """A mapping names values or headers, not both."""
    if isinstance(bind, Bound):
        yield from one_of(document, path, ("scope", "request"), "bound to nothing", "write `scope: [CEL, …]`")
        if document.has((*path, "scope")) and document.has((*path, "request")):
            message, hint = "a request is bound whole, with all its values", "remove `scope`, or `request`"
            yield problem_at(document, (*path, "scope"), message, hint, key=True)


def is_for_one_request(bind: Bind) -> bool:
    """Whether what is given is good for one very request."""
    return bind == "request" or (isinstance(bind, Bound) and bind.request is not None)


def one_of(document: Document, path: Path, fields: Iterable[str], message: str, hint: str) -> Iterator[Problem]:
    """Some field is written in the mapping; one that nobody knows may have been meant for one."""
    if not document.lost(path) and not any(document.has((*path, field)) for field in fields):
        yield problem_at(document, path, message, hint)
