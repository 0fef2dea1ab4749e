"""A naive reading of design section 3: what the compiled policies must agree with on decision, rule and reason.

To be read beside that text. It scans every rule of the plain documents and says patterns as regular expressions; with
`extauthz.policy` it shares the views that conditions see, with the rest of the product CEL and `bind`.
"""

import json
import re
from collections.abc import Collection, Sequence
from datetime import datetime
from fractions import Fraction
from hashlib import sha256
from typing import Any, NamedTuple

from oracle_expressions import Document, Evaluate, evaluator

from extauthz import cel
from extauthz.errors import Refused
from extauthz.policy.context import Inputs
from extauthz.stepup.binding import Kind, bind
from extauthz.stepup.factors import FACTOR_AMR
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView


class Verdict(NamedTuple):
    """What both readings must agree on."""

    decision: str
    rule: str | None
    reason: str


class Rule(NamedTuple):
    """A rule that is obeyed and matches, or a guard that is obeyed and whose condition errors."""

    name: str
    fields: Document
    value: Evaluate
    matches: bool


def judge(documents: Sequence[Document], inputs: Inputs, key: bytes) -> Verdict:
    """The decision on one request by the letter of "How rules combine"; the numbers are those of its steps."""
    rules = speaking(documents, inputs)  # 1
    deny, allow, challenge, approve = (
        [one for one in rules if one.fields["effect"] == effect and one.matches]
        for effect in ("deny", "allow", "challenge", "approve")
    )
    errors = [one.name for one in rules if not one.matches]
    if deny:  # 2
        return Verdict("deny", deny[0].name, deny[0].fields.get("deny", {}).get("reason", "denied"))
    if errors:
        return Verdict("deny", errors[0], "policy-error")
    if not allow:  # 3
        return Verdict("deny", None, "no-rule-allows")
    return asked(challenge, inputs, key) or answered(approve, inputs, key) or allowed(allow)  # 4, 5, 6


def audit_required(documents: Sequence[Document], inputs: Inputs) -> bool:
    """Whether the record must be on disk before the answer leaves."""
    return any("audit" in one.fields for one in speaking(documents, inputs))


def speaking(documents: Sequence[Document], inputs: Inputs) -> list[Rule]:
    """The candidates that have a say, in the order of their names."""
    found = []
    for policy in documents:
        for rule in policy["spec"].get("rules", ()):
            name = f"{policy['metadata']['name']}/{rule['name']}"
            params = captures(policy["spec"].get("hosts"), rule, inputs.request)
            expired = "expires" in rule and inputs.now >= datetime.fromisoformat(rule["expires"]).timestamp()
            if params is None or expired or not fits_workload(rule.get("workloads"), inputs.identity):
                continue
            if not enforced(name, rule.get("mode", "enforce"), inputs.identity):
                continue
            value = evaluator(documents, policy, inputs, params)
            try:
                matches, errs = value(rule.get("when", "true")) is True, False
            except cel.EvalError:
                matches, errs = False, True
            if matches or (errs and rule["effect"] != "allow"):
                found.append(Rule(name, rule, value, matches))
    return sorted(found, key=lambda one: one.name)


def enforced(name: str, mode: Any, identity: Identity) -> bool:
    if isinstance(mode, str):
        return mode == "enforce"
    stage, subject = mode["enforce_for"], identity.subject
    if "workloads" in stage and fits_workload(stage["workloads"], identity):
        return True
    if subject is None:
        return False
    caller = json.dumps([subject.issuer, subject.id], separators=(",", ":"))
    place = int(sha256(f"{name}\n{caller}".encode()).hexdigest()[:16], 16)
    return subject.id in stage.get("subjects", ()) or place < Fraction(stage.get("percent", 0)) / 100 * 2**64


def captures(policy_hosts: Sequence[str] | None, rule: Document, request: RequestView) -> dict[str, str] | None:
    """What the rule's templates capture, or `None` if host, method or path do not fit."""
    http, methods, paths = request.http, rule.get("methods"), rule.get("paths")
    hosts = [patterns for patterns in (policy_hosts, rule.get("hosts")) if patterns]
    if http is None:
        anywhere = not (hosts or methods or paths)
        return {} if anywhere and (rule.get("tcp") or rule["effect"] != "allow") else None
    # `*` at any depth, but not the suffix itself
    if not all(any(re.fullmatch(re.escape(one).replace(r"\*", ".+"), http.host) for one in each) for each in hosts):
        return None
    if methods and http.method not in methods and not (http.method == "HEAD" and "GET" in methods):
        return None
    path = "".join("/" + segment.replace("/", "\0") for segment in http.segments)
    templates = paths if paths and http.path.startswith("/") else ()  # `OPTIONS *` and CONNECT fit none
    found = [fit for one in templates if (fit := fitting(one, path)) is not None]
    if paths and not found:
        return None
    captured = Captured({name: value for fit in found for name, value in fit.items()})
    captured.disputed = {name for fit in found for name, value in fit.items() if captured[name] != value}
    return captured


class Captured(dict[str, str]):
    """What templates capture; what two of them give different values can't be read."""

    disputed: Collection[str] = ()

    def __getitem__(self, name: str) -> str:
        if name in self.disputed:
            raise cel.EvalError("captured twice")
        return super().__getitem__(name)


def fits_workload(patterns: Sequence[str] | None, identity: Identity) -> bool:
    if patterns is None or identity.workload is None:
        return patterns is None
    path = identity.workload.id.removeprefix("spiffe:/")
    return any(fitting(pattern.removeprefix("spiffe:/"), path) is not None for pattern in patterns)


def fitting(pattern: str, path: str) -> dict[str, str] | None:
    """What a pattern of segments captures of a path that it fits; in a segment of the path, NUL stands for `/`."""
    found = re.fullmatch("".join(as_regex(part) for part in pattern.split("/") if part), path, re.DOTALL)
    return found and {name: (value or "").replace("\0", "/") for name, value in found.groupdict().items()}


def as_regex(part: str) -> str:
    if part in ("*", "**"):
        return "/[^/]+" if part == "*" else "(/.*)?"
    capture = re.fullmatch(r"{(\w+)(=\*\*)?}", part)
    if capture is None:
        return "/" + re.escape(part)
    return f"(/(?P<{capture[1]}>.*))?" if capture[2] else f"/(?P<{capture[1]}>[^/]+)"


def answered(approves: Sequence[Rule], inputs: Inputs, key: bytes) -> Verdict | None:
    """Step 5: what `auto` says, then what is left to ask."""
    if approves and inputs.request.http is not None and inputs.identity.subject is not None:
        auto = [(one, *automatic(one)) for one in approves]
        denied = [Verdict("deny", one.name, reason) for one, reason, _ in auto if reason]
        if denied:
            return denied[0]
        approves = [one for one, _, is_approved in auto if not is_approved]
    return asked(approves, inputs, key)


def automatic(one: Rule) -> tuple[str, bool]:
    """The reason of a denial by `auto`, or an empty one, and whether it approves."""
    reasons, yes, unsure = [], False, False
    for answer in one.fields["approve"].get("auto", ()):
        try:
            holds = one.value(answer["when"]) is True
        except cel.EvalError:
            unsure = unsure or answer["answer"] == "deny"
            continue
        if holds and answer["answer"] == "deny":
            reasons.append(answer.get("reason", "auto-denied"))
        yes = yes or (holds and answer["answer"] == "approve")
    return (reasons[0] if reasons else ""), yes and not unsure


def approved(approve: Document, binding: str, inputs: Inputs) -> bool:
    """Whether enough persons have approved, none of whom asks (section 4); conditions on them are tested elsewhere."""
    caller, minutes = inputs.identity, float(approve.get("valid_for", "5m").removesuffix("m"))
    asking = {caller.user.sub} if caller.user is not None else set()
    for grant in inputs.facts.grants:
        here = (grant.subject, grant.session, grant.binding) == (caller.subject, caller.session or "", binding)
        lasts = inputs.now < min(grant.issued_at + minutes * 60, grant.expires_at) and grant.uses != 0
        bounded = approve.get("uses", 1) == "unlimited" or (grant.uses or 1001) <= approve.get("uses", 1)
        if grant.approval is None or not (here and lasts and bounded and grant.holder in caller.holders):
            continue
        persons = {
            vote.approver.person
            for vote in grant.approval.votes
            if vote.approver.groups & set(approve["approvers"].get("groups", ()))
            or vote.approver.subject.id in approve["approvers"].get("subjects", ())
        }
        if len(persons - asking) >= approve.get("min", 1):
            return True
    return False


def asked(guards: Sequence[Rule], inputs: Inputs, key: bytes) -> Verdict | None:
    """Steps 4 and 5: what matching guards of one effect ask for; `None` if nothing is left to ask."""
    unmet = []
    for one in guards:
        effect = one.fields["effect"]
        if inputs.request.http is None:
            return Verdict("deny", one.name, "needs-http")
        if (inputs.identity.user if effect == "challenge" else inputs.identity.subject) is None:
            return Verdict("deny", one.name, "needs-subject")
        try:
            binding = bound(one, one.fields[effect].get("bind", "action"), inputs, key)
        except (cel.EvalError, Refused) as error:
            return Verdict("deny", one.name, error.reason if isinstance(error, Refused) else "policy-error")
        if effect == "approve":
            if approved(one.fields["approve"], binding, inputs):
                continue
            unmet.append(Verdict("hold", one.name, "approval-required"))
        elif not met(one.fields["challenge"], binding, inputs):
            unmet.append(Verdict("challenge", one.name, "proof-required"))
    return unmet[0] if unmet else None


def bound(one: Rule, kind: Any, inputs: Inputs, key: bytes) -> str:
    scope = [one.value(source) for source in kind["scope"]] if isinstance(kind, dict) else []
    word: Kind = "scope" if isinstance(kind, dict) else kind
    return bind(word, rule=one.name, scope=scope, request=inputs.request, identity=inputs.identity, key=key)


def met(challenge: Document, binding: str, inputs: Inputs) -> bool:
    """Whether a grant names this caller and binding, and is fresh (section 4)."""
    minutes = float(challenge.get("max_age", "5m").removesuffix("m"))
    if challenge.get("accept_token") and vouched(challenge, minutes, inputs):
        return True
    return any(
        (grant.subject, grant.session, grant.binding) == (inputs.identity.subject, inputs.identity.session, binding)
        and grant.holder in inputs.identity.holders
        and grant.factor in taken(challenge)
        and inputs.now < min(grant.issued_at + minutes * 60, grant.expires_at)
        and grant.uses != 0
        for grant in inputs.facts.grants
    )


def taken(challenge: Document) -> list[str]:
    """What grants for this challenge may say."""
    words: list[str] = [FACTOR_AMR[factor] for factor in challenge["factors"] if factor != "oidc"]
    if "webauthn" in challenge["factors"] and challenge.get("user_verification") != "required":
        words.append("user")
    if "oidc" in challenge["factors"]:
        words.append("mfa " + challenge["acr"] if "acr" in challenge else "mfa")
    return words


def vouched(challenge: Document, minutes: float, inputs: Inputs) -> bool:
    """Whether the caller's token is proof enough (section 4, "accept_token")."""
    user = inputs.identity.user
    if user is None or user.auth_time is None or inputs.now - user.auth_time >= minutes * 60:
        return False
    asked = challenge.get("acr")
    if asked is not None and asked not in user.proven_acr:
        return False
    weak = {"webauthn"} if challenge.get("user_verification") == "required" else set()
    strong = {"oidc"} if asked is not None else set()
    return bool(((user.proven_factors - weak) | strong) & set(challenge["factors"]))


def allowed(allows: Sequence[Rule]) -> Verdict:
    """Step 6, with request headers alone: the other kinds of mutations have tests of their own."""
    said: dict[str, list[tuple[str, object]]] = {}
    for one in allows:
        for header, source in sorted(one.fields.get("allow", {}).get("headers", {}).items()):
            try:
                said.setdefault(header, []).append((one.name, one.value(source)))
            except cel.EvalError:
                return Verdict("deny", one.name, "policy-error")
    quarrels = [told[0][0] for told in said.values() if len({value for _, value in told}) > 1]
    return (
        Verdict("deny", min(quarrels), "header-conflict") if quarrels else Verdict("allow", allows[0].name, "allowed")
    )
