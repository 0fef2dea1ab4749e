"""The blocks of the effects to the terms of rules: every expression in them compiled.

The rule kept here: a block of another effect than the rule's, which is refused, is compiled too, so that all that is
wrong with it is told at once.
"""

from collections.abc import Callable, Mapping, Sequence

from extauthz import cel
from extauthz.approval.terms import BreakGlassTerms, Circle, Condition, Step, Terms
from extauthz.policy import effect_models, models
from extauthz.policy.approver_reads import unshown_values
from extauthz.policy.approving import condition_on
from extauthz.policy.breaking_glass import issuer_of, problems_of_glass
from extauthz.policy.declared import Declared
from extauthz.policy.expressions import Expressions
from extauthz.policy.problems import Path, Problem
from extauthz.policy.rules import (
    NOTHING,
    AllowTerms,
    ApproveTerms,
    AutoTerms,
    ChallengeTerms,
    DenyTerms,
    EffectTerms,
    Programs,
)
from extauthz.policy.yaml_source import Document
from extauthz.stepup.binding import Kind
from extauthz.stepup.factors import accepted_amr
from extauthz.values.decisions import Deny, Factor
from extauthz.values.request import EMPTY


class TermsCompiler:
    """Compiles the blocks of one document; `about` compiles what conditions on approvers see. `problems` collects what
    of them can't be as it is `declared`; what is wrong with expressions, these themselves collect."""

    def __init__(self, document: Document, expressions: Expressions, about: Expressions, declared: Declared) -> None:
        self.problems: list[Problem] = []
        self._document = document
        self._expressions = expressions
        self._about = about
        self._declared = declared

    def terms(self, path: Path, model: models.Rule, rule: str) -> EffectTerms | None:
        """The terms of the rule's effect, `None` without a block that it needs; `rule` is its whole name."""
        allow = NOTHING if model.allow is None else self._allow((*path, "allow"), model.allow)
        deny = self._deny((*path, "deny"), rule, model.deny or effect_models.DenyBlock())
        challenge = None if model.challenge is None else self._challenge((*path, "challenge"), model.challenge)
        approve = None if model.approve is None else self._approve((*path, "approve"), model.approve)
        match model.effect:
            case "allow":
                return allow
            case "deny":
                return deny
            case "challenge":
                return challenge
            case "approve":
                return approve

    def _allow(self, path: Path, block: effect_models.AllowBlock) -> AllowTerms:
        text, lines, value = self._expressions.text, self._expressions.lines, self._expressions.compile
        return AllowTerms(
            headers=_named((*path, "headers"), block.headers, text),
            append_headers=_named((*path, "append_headers"), block.append_headers, lines),
            remove_headers=frozenset(block.remove_headers or ()),
            response_headers=_named((*path, "response_headers"), block.response_headers, text),
            append_response_headers=_named((*path, "append_response_headers"), block.append_response_headers, lines),
            query=_named((*path, "query"), block.query, text),
            remove_query=frozenset(block.remove_query or ()),
            metadata=_named((*path, "metadata"), block.metadata, value),
        )

    def _deny(self, path: Path, rule: str, block: effect_models.DenyBlock) -> DenyTerms:
        headers, body = block.headers or {}, block.body
        plain = {name: text for name, text in sorted(headers.items()) if isinstance(text, str)}
        computed = (
            (name, value) for name, value in sorted(headers.items()) if isinstance(value, effect_models.Computed)
        )
        programs = ((name, self._computed((*path, "headers", name), value)) for name, value in computed)
        return DenyTerms(
            answer=Deny(
                reason=block.reason,
                rule=rule,
                status=block.status,
                headers=plain or EMPTY,
                body=body if isinstance(body, str) else "",
            ),
            headers=tuple((name, program) for name, program in programs if program is not None),
            body=self._computed((*path, "body"), body) if isinstance(body, effect_models.Computed) else None,
        )

    def _computed(self, path: Path, value: effect_models.Computed) -> cel.Program | None:
        return self._expressions.text((*path, "cel"), value.cel)

    def _challenge(self, path: Path, block: effect_models.ChallengeBlock) -> ChallengeTerms:
        kind, scope, headers = self._bind((*path, "bind"), block.bind)
        return ChallengeTerms(
            factors=tuple(dict.fromkeys(block.factors)),
            accepted=accepted_amr(block.factors, acr=block.acr, user_verification=block.user_verification),
            acr=block.acr,
            user_verification=block.user_verification,
            accept_token=block.accept_token,
            max_age=block.max_age,
            bind=kind,
            scope=scope,
            bound_headers=headers,
            show=_named((*path, "show"), block.show, self._expressions.compile),
        )

    def _approve(self, path: Path, block: effect_models.ApproveBlock) -> ApproveTerms:
        approvers, breaking = block.approvers, block.break_glass
        kind, scope, headers = self._bind((*path, "bind"), block.bind)
        when = self._condition_on(path, block)
        if breaking is not None:
            self.problems += problems_of_glass(self._document, (*path, "break_glass"), breaking, self._declared)
        return ApproveTerms(
            expires_in=block.expires_in,
            hold=block.hold or 0.0,
            bind=kind,
            scope=scope,
            bound_headers=headers,
            show=_named((*path, "show"), block.show, self._expressions.compile),
            auto=tuple(self._auto(path, block)),
            glass_factors=() if breaking is None else tuple(dict.fromkeys(breaking.factors)),
            voting=Terms(
                circle=_circle(approvers, when),
                escalate=tuple(Step(after=step.after, circle=_circle(step, when)) for step in block.escalate or ()),
                min=block.min,
                deny_min=block.deny_min,
                factors=_accepted(approvers.factors or ()),
                max_age=approvers.max_age,
                reason_required=block.reason == "required",
                valid_for=block.valid_for,
                uses=None if block.uses == "unlimited" else block.uses,
                cooldown=block.cooldown or 0.0,
                break_glass=None
                if breaking is None
                else BreakGlassTerms(
                    groups=frozenset(breaking.groups),
                    factors=_accepted(breaking.factors),
                    max_age=breaking.max_age,
                    valid_for=breaking.valid_for,
                    issuer=issuer_of(breaking, self._declared.issuers),
                ),
            ),
        )

    def _condition_on(self, path: Path, block: effect_models.ApproveBlock) -> Condition | None:
        """What the block at `path` says of approvers; it can read no value but those that the block shows."""
        source, show = block.approvers.when, (*path, "show")
        if source is None:
            return None
        program = self._about.condition((*path, "approvers", "when"), source)
        if program is None:
            return None
        if not self._document.lost(show) and not self._document.is_lost(show):
            unshown = unshown_values(program.tree, block.show or {})
            self._about.refuse_parts((*path, "approvers", "when"), unshown)
        return condition_on(program, self._about.definitions.values)

    def _auto(self, path: Path, block: effect_models.ApproveBlock) -> list[AutoTerms]:
        found = []
        for number, one in enumerate(block.auto or ()):
            program = self._expressions.condition((*path, "auto", number, "when"), one.when)
            if program is not None:
                reason = one.reason or ("auto-approved" if one.answer == "approve" else "auto-denied")
                found.append(AutoTerms(when=program, answer=one.answer, reason=reason))
        return found

    def _bind(self, path: Path, bind: effect_models.Bind) -> tuple[Kind, tuple[cel.Program, ...], tuple[str, ...]]:
        """The kind, the values, and the headers."""
        if not isinstance(bind, effect_models.Bound):
            return bind, (), ()
        if bind.request is not None:
            self._expressions.refuse_undeclared((*path, "request"), bind.request)
            return "request", (), tuple(dict.fromkeys(bind.request))
        scope = [self._expressions.compile((*path, "scope", n), source) for n, source in enumerate(bind.scope or ())]
        return "scope", tuple(program for program in scope if program is not None), ()


def programs_of(terms: EffectTerms) -> list[cel.Program]:
    """The expressions of terms that see what a condition of the rule sees."""
    match terms:
        case AllowTerms():
            return [program for _, programs in terms.blocks for _, program in programs]
        case ChallengeTerms():
            return [*terms.scope, *(program for _, program in terms.show)]
        case ApproveTerms():
            auto = (one.when for one in terms.auto)
            return [*terms.scope, *(program for _, program in terms.show), *auto]
        case DenyTerms():
            return [*(program for _, program in terms.headers), *([] if terms.body is None else [terms.body])]


def _named(
    path: Path, sources: Mapping[str, str] | None, compile_one: Callable[[Path, str], cel.Program | None]
) -> Programs:
    programs = ((name, compile_one((*path, name), source)) for name, source in sorted((sources or {}).items()))
    return tuple((name, program) for name, program in programs if program is not None)


def _circle(block: effect_models.Approvers | effect_models.EscalationModel, when: Condition | None) -> Circle:
    """Who is asked: what the rule says of approvers is said of those who are asked later, too."""
    return Circle(groups=frozenset(block.groups or ()), subjects=frozenset(block.subjects or ()), when=when)


def _accepted(factors: Sequence[Factor]) -> frozenset[str]:
    """What proofs say by which somebody shows that it is really them: a key knows its user for that."""
    return accepted_amr(factors, acr=None, user_verification="required")
