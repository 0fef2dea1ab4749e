"""Step 5 of a decision: what meets the approves that match, or the approvals that are asked for.

The rule kept here: an approval is counted anew each time it is used, by the rule as it is now and for whoever asks now;
how it was counted when it was given is of no interest.
"""

from collections.abc import Sequence
from math import inf
from typing import Final

import msgspec

from extauthz import cel
from extauthz.approval.counting import tally
from extauthz.approval.persons import BY_SUB
from extauthz.approval.terms import BreakGlassTerms, Terms
from extauthz.errors import Refused
from extauthz.policy.at_hand import Case, best, bindings_of, faulty, fresh, shown_values
from extauthz.policy.plan import Scope, Voice
from extauthz.policy.rules import ApproveTerms, Rule
from extauthz.stepup.binding import glass_binding
from extauthz.values.approvals import APPROVAL_FACTOR, Approved, Approver, Matter, Requesters
from extauthz.values.decisions import (
    ApprovalDemand,
    AutoAnswer,
    BreakGlassOffer,
    ChallengeDemand,
    Deny,
    Hold,
    denial,
)
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject, User

MOST_SHOWN: Final = 16_384
"""Characters that approvers are shown of one request: they are kept with it, and go to everybody who is told."""


class Met(msgspec.Struct, frozen=True):
    """What meets all approves: grants, and answers that needed nobody."""

    grants: tuple[Grant, ...]
    auto: tuple[AutoAnswer, ...]


def approve(approvals: Sequence[Voice[ApproveTerms]], case: Case) -> Met | Deny | Hold:
    """Step 5: what meets all approves, or those together that are not met."""
    first = approvals[0].rule.name
    if case.request.http is None:
        return denial("needs-http", rule=first)
    subject = case.identity.subject
    if subject is None:
        return denial("needs-subject", rule=first)
    answers = _auto(approvals, case)
    if isinstance(answers, Deny):
        return answers
    left = [voice for voice in approvals if voice.rule.name not in answers]
    requesters = (case.facts.local.requesters or BY_SUB.requesters)(case.identity) if left else Requesters()
    if requesters is None:
        return denial("unmapped-requester", rule=left[0].rule.name)
    grants: dict[str, Grant] = {}
    demands: list[ApprovalDemand] = []
    for voice in left:
        try:
            asked = _asked(voice, subject, requesters, case)
        except (cel.EvalError, Refused) as error:
            return faulty(voice.rule, error, case)
        grant = _given(voice.terms.voting, asked, case)
        if grant is not None:
            grants[grant.id] = grant
        else:
            demands.append(_approval_demand(voice, asked, case))
    if demands:
        return Hold(rule=demands[0].rule, demands=tuple(demands))
    return Met(tuple(grants.values()), tuple(answers.values()))


def _auto(approvals: Sequence[Voice[ApproveTerms]], case: Case) -> dict[str, AutoAnswer] | Deny:
    """The rules that `auto` approves, or a denial by it: of any rule, it beats all that was ever approved.

    A condition that errs answers nothing; that of a denial might have denied, so nothing is approved beside it.
    """
    approved: dict[str, AutoAnswer] = {}
    denied: Deny | None = None
    for rule, terms, at in approvals:
        answer: AutoAnswer | None = None
        may_approve = True
        for when, stance, reason in terms.auto:
            try:
                holds = when.evaluate(case.scopes[at]) is True
            except cel.EvalError as error:
                case.faults[rule.name] = str(error)
                may_approve &= stance == "approve"
                continue
            if holds and stance == "deny":
                denied = denied or Deny(reason=reason, rule=rule.name)
            elif holds and answer is None:
                answer = AutoAnswer(rule=rule.name, answer=stance, reason=reason)
        if answer is not None and may_approve:
            approved[rule.name] = answer
    return approved if denied is None else denied


class _Asked(msgspec.Struct, frozen=True):
    """What one approve asks of this request: bound to what, of whom, about what."""

    bindings: tuple[str, ...]
    subject: Subject
    requesters: Requesters
    matter: Matter


def _asked(voice: Voice[ApproveTerms], subject: Subject, requesters: Requesters, case: Case) -> _Asked:
    """Raises what `bindings_of` and `_shown` raise."""
    rule, terms, at = voice
    http, workload = case.request.http, case.identity.workload
    assert http is not None  # noqa: S101 - nothing is asked of a TCP check
    return _Asked(
        bindings=bindings_of(rule, terms, case.scopes[at], case),
        subject=subject,
        requesters=requesters,
        matter=Matter(
            rule=rule.name,
            subject=subject,
            workload="" if workload is None else workload.id,
            method=http.method,
            host=http.host,
            path=http.path,
            show=_shown(terms, case.scopes[at]),
        ),
    )


def _shown(terms: ApproveTerms, scope: Scope) -> dict[str, str]:
    """What approvers are shown. It is kept, told and read whole or not at all.

    Raises:
        cel.EvalError: it can't be worked out, or is more than anybody reads.
    """
    show = shown_values(terms.show, scope)
    if sum(map(len, show.values())) > MOST_SHOWN:
        raise cel.EvalError(f"what approvers are shown is longer than {MOST_SHOWN} characters")
    return show


def _given(terms: Terms, asked: _Asked, case: Case) -> Grant | None:
    """A grant of an approval that meets these terms now, whatever they were when it was given."""
    return best(
        grant
        for grant in fresh(asked.bindings, inf, asked.subject, case)
        if grant.factor == APPROVAL_FACTOR
        and grant.approval is not None
        and (terms.uses is None or (grant.uses is not None and grant.uses <= terms.uses))
        and _counts(grant.approval, terms, asked, grant, case)
    )


def _counts(approved: Approved, terms: Terms, asked: _Asked, grant: Grant, case: Case) -> bool:
    """Whether an approval is one by these terms: enough persons approve, or the glass may be broken and was."""
    glass, broken = terms.break_glass, approved.break_glass
    if broken is not None:
        return (
            glass is not None
            and case.now < grant.issued_at + glass.valid_for
            and _is_member(case.identity.user, glass)
            and asked.requesters.caller == broken.by.person
            and broken.proof.factor in glass.factors
            and abs(broken.at - broken.proof.at) < glass.max_age
            and (broken.review is None or broken.review.verdict == "justified")
        )
    counted = tally(
        terms, approved.votes, opened_at=approved.opened_at, requesters=asked.requesters, matter=asked.matter
    )
    return case.now < grant.issued_at + terms.valid_for and counted.approve >= terms.min


def _is_member(user: User | None, glass: BreakGlassTerms) -> bool:
    """Whether the caller's own token says that they may break the glass; that of who acts for them does not."""
    return user is not None and user.actor is None and glass.takes(user.subject, user.groups)


def _approval_demand(voice: Voice[ApproveTerms], asked: _Asked, case: Case) -> ApprovalDemand:
    rule, terms, _ = voice
    return ApprovalDemand(
        rule=rule.name,
        binding=asked.bindings[-1],
        min=terms.voting.min,
        expires_in=terms.expires_in,
        hold=terms.hold,
        bind=terms.bind,
        subject=asked.subject,
        session=case.identity.session or "",
        requesters=asked.requesters,
        description=rule.description,
        why="" if rule.when is None else rule.when.source,
        show=asked.matter.show,
        break_glass=_glass_offer(rule, terms, asked.requesters, case),
    )


def _glass_offer(rule: Rule, terms: ApproveTerms, requesters: Requesters, case: Case) -> BreakGlassOffer | None:
    """How this caller may break the glass; only a person who has a session may, since only such one can prove it."""
    glass, user = terms.voting.break_glass, case.identity.user
    caller = requesters.caller
    if glass is None or user is None or caller is None or not _is_member(user, glass) or case.identity.session is None:
        return None
    binding = glass_binding(rule.name)
    return BreakGlassOffer(
        by=Approver(subject=user.subject, person=caller, groups=frozenset(user.groups)),
        demand=ChallengeDemand(
            rule=rule.name,
            factors=terms.glass_factors,
            max_age=glass.max_age,
            binding=binding,
            uses=1,
            user_verification="required",
            description=rule.description,
        ),
        valid_for=glass.valid_for,
        proof=best(
            grant for grant in fresh((binding,), glass.max_age, user.subject, case) if grant.factor in glass.factors
        ),
    )
