"""A good set of documents that uses every field, and a table of single mistakes that can be made in it.

A mistake is a change at one path, and the one message that it must lead to: whatever else is wrong, but for the few
that take away what it rests on.
"""

import copy
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from policy.making import Document, definitions, document, function, risk_model, rule, signal

from extauthz.policy.load import load_text
from extauthz.policy.problems import Path, PolicyErrors, Problem

POLICY: Final = 0
DEFINITIONS: Final = 1
MODEL: Final = 2
REMOVED: Final = object()


class Mistake(NamedTuple):
    """The value at `path` is `value` now, a key is `key` now, or a key or element is not there any more."""

    name: str
    path: Path
    value: Any
    message: str
    key: str = ""

    def conflicts(self, other: "Mistake") -> bool:
        """Whether both change one value; under another key its inside stays what it was."""
        outer, inner = sorted((self, other), key=lambda mistake: len(mistake.path))
        return inner.path[: len(outer.path)] == outer.path and (inner.path == outer.path or not outer.key)


def good() -> list[Document]:
    """Documents without a mistake, written anew."""
    return [
        document(
            "p",
            rule(
                "reads",
                "allow",
                hosts=["app.example.com"],
                methods=["GET", "POST"],
                paths=["/v1/{account}/**"],
                workloads=["spiffe://prod.example.org/ns/*/sa/web"],
                when="variables.mine && definitions.is_staff(user)",
                expires="2099-01-01T00:00:00Z",
                allow={
                    "headers": {"x-sub": "user.sub", "x-tier": "variables.tier"},
                    "remove_headers": ["x-debug"],
                    "response_headers": {"x-seen": "'yes'"},
                    "query": {"tenant": "variables.tier"},
                    "remove_query": ["debug"],
                    "metadata": {"amount": "variables.amount"},
                },
            ),
            rule(
                "closed",
                "deny",
                paths=["/v1/closed"],
                when="user.sub in definitions.blocked",
                deny={"status": 403, "reason": "closed", "headers": {"x-why": "closed"}},
                mode={"enforce_for": {"percent": 10, "workloads": ["spiffe://prod.example.org/**"]}},
                description="Closed accounts",
            ),
            rule(
                "large",
                "challenge",
                when="variables.amount > 1000.0 || risk.level == 'high'",
                challenge={
                    "factors": ["totp"],
                    "max_age": "5m",
                    "bind": {"scope": ["variables.amount"]},
                    "show": {"amount": "variables.amount"},
                },
                expires="2099-01-01T00:00:00Z",
                expires_opens=True,
            ),
            rule(
                "huge",
                "approve",
                when="variables.amount > definitions.most",
                approve={
                    "approvers": {"groups": ["treasury"], "when": "approver.claims.limit > 1000"},
                    "min": 2,
                    "show": {"who": "user.sub"},
                    "hold": "20s",
                    "uses": 2,
                    "auto": [{"when": "user.sub == 'root'", "answer": "deny"}],
                    "escalate": [{"after": "5m", "groups": ["chiefs"]}],
                    "break_glass": {"groups": ["on-duty"], "factors": ["webauthn"]},
                },
                mode={"enforce_for": {"subjects": [{"issuer": "https://idp.example.com", "sub": "u1"}]}},
            ),
            hosts=["*.example.com"],
            risk="weighs",
            variables={
                "amount": "double(request.query.amount)",
                "tier": "request.headers['x-tier']",
                "gold": "variables.tier == 'gold'",
                "mine": "variables.gold || user.sub == request.params.account",
                "open": "within(now, 'office-hours') && listed(client.ip, 'office')",
            },
        ),
        definitions(
            "shared",
            functions={
                "in_group": function("g in who.groups", who="user", g="string"),
                "is_staff": function("definitions.in_group(who, definitions.group)", who="user"),
                "size_of": {**function("size(x)", x="list(string)"), "result": "int"},
            },
            lists={"blocked": ["u1", "u2"], "levels": [1, 2]},
            constants={"group": "staff", "most": 100000.0},
            holidays={"berlin": ["2026-04-03", "12-25"]},
            windows={
                "office-hours": {
                    "zone": "Europe/Berlin",
                    "hours": [{"days": ["mon", "fri"], "from": "08:00", "to": "18:00"}],
                    "holidays": ["berlin"],
                },
            },
            addresses={"office": ["192.0.2.0/24", "2001:db8::1"]},
        ),
        risk_model(
            "weighs",
            variables={"amount": "double(request.query.amount)"},
            signals={
                "often": signal("rate(user.sub, duration('1m')) > 3", 20),
                "much": signal("variables.amount > 2.0 * baseline('amount', user.sub).p95", 30, half_life="1h"),
                "warned": signal("has(reported.risk_level)", 5, half_life="1h", since="reported.risk_at"),
            },
        ),
    ]


RULE: Final[Path] = (POLICY, "spec", "rules")
READS: Final[Path] = (*RULE, 0)
CLOSED: Final[Path] = (*RULE, 1)
LARGE: Final[Path] = (*RULE, 2)
HUGE: Final[Path] = (*RULE, 3)
VARIABLES: Final[Path] = (POLICY, "spec", "variables")
SHARED: Final[Path] = (DEFINITIONS, "spec")
WINDOW: Final[Path] = (*SHARED, "windows", "office-hours")
SIGNALS: Final[Path] = (MODEL, "spec", "signals")
LEVELS: Final[Path] = (MODEL, "spec", "levels")
EMPTY: Final = "must not be empty"

MISTAKES: Final = (
    # What a document is
    Mistake("version", (POLICY, "apiVersion"), "extauthz/v2", "`extauthz/v2` is not one of `extauthz/v1`"),
    Mistake("no-version", (DEFINITIONS, "apiVersion"), REMOVED, "missing field `apiVersion`"),
    Mistake("kind", (POLICY, "kind"), "Polcy", "unknown kind `Polcy`"),
    Mistake("no-kind", (POLICY, "kind"), REMOVED, "missing field `kind`"),
    Mistake("kind-of-definitions", (DEFINITIONS, "kind"), "Definitons", "unknown kind `Definitons`"),
    Mistake("name", (POLICY, "metadata", "name"), "a b", "`a b` is not a name"),
    Mistake("no-metadata", (DEFINITIONS, "metadata"), REMOVED, "missing field `metadata`"),
    Mistake("misspelt-spec", (DEFINITIONS, "spec"), None, "unknown field `spce`", key="spce"),
    Mistake("no-document", (3,), 5, "must be a mapping"),
    Mistake("unknown-document", (3,), {"apiVersion": "v1", "kind": "ConfigMap"}, "unknown kind `ConfigMap`"),
    Mistake("foreign-document", (3,), {"services": {}}, "no document of extauthz"),
    Mistake("configuration", (3,), {"policies": ["policies/"]}, "a configuration of extauthz, no policy"),
    # Fields that nobody knows
    Mistake("unknown-field", (*READS, "if"), "true", "unknown field `if`"),
    Mistake("misspelt-when", (*READS, "when"), None, "unknown field `wehn`", key="wehn"),
    Mistake("misspelt-effect", (*CLOSED, "effect"), None, "unknown field `efect`", key="efect"),
    Mistake("misspelt-block", (*LARGE, "challenge"), None, "unknown field `chalenge`", key="chalenge"),
    Mistake("misspelt-rules", RULE, None, "unknown field `rulez`", key="rulez"),
    Mistake("misspelt-variables", VARIABLES, None, "unknown field `variabels`", key="variabels"),
    Mistake("singular", (*CLOSED, "path"), "/v1/closed", "unknown field `path`"),
    # Values of a wrong type, and empty ones
    Mistake("text-for-list", (*READS, "paths"), "/v1", "must be a list, not the text `/v1`"),
    Mistake("list-for-variables", VARIABLES, ["a"], "must be a mapping, not a list"),
    Mistake("text-for-rules", RULE, "deny", "must be a list, not the text `deny`"),
    Mistake("text-for-rule", (*RULE, 4), "deny", "must be a mapping, not the text `deny`"),
    Mistake("number-for-host", (*READS, "hosts", 0), 5, "must be text, not `5`"),
    Mistake("no-methods", (*READS, "methods"), [], EMPTY),
    Mistake("no-rules", RULE, [], EMPTY),
    Mistake("null-condition", (*HUGE, "when"), None, EMPTY),
    Mistake("no-factors", (*LARGE, "challenge", "factors"), [], EMPTY),
    Mistake("no-headers", (*CLOSED, "deny", "headers"), {}, EMPTY),
    Mistake("word-for-switch", (*READS, "tcp"), "yes", "must be `true` or `false`"),
    # Values that are wrong by themselves
    Mistake("rule-name", (*READS, "name"), "-", "`-` is not a name"),
    Mistake("no-rule-name", (*CLOSED, "name"), REMOVED, "missing field `name`"),
    Mistake("effect", (*READS, "effect"), "alow", "`alow` is not one of"),
    Mistake("effect-of-guard", (*HUGE, "effect"), "aprove", "`aprove` is not one of"),
    Mistake("no-effect", (*LARGE, "effect"), REMOVED, "missing field `effect`"),
    Mistake("method", (*READS, "methods", 0), "get", "`get` is not a method"),
    Mistake("all-methods", (*READS, "methods"), ["get"], "`get` is not a method"),
    Mistake("status", (*CLOSED, "deny", "status"), 200, "`200` is not a status"),
    Mistake("factor", (*LARGE, "challenge", "factors", 0), "otp", "`otp` is not one of"),
    Mistake("max-age", (*LARGE, "challenge", "max_age"), "5 minutes", "not a duration"),
    Mistake("instant", (*READS, "expires"), "tomorrow", "not a date and time"),
    Mistake("percent", (*CLOSED, "mode", "enforce_for", "percent"), 110, "must be less than or equal to 100"),
    Mistake("mode", (*HUGE, "mode"), "shadw", "`shadw` is not one of"),
    Mistake("bind", (*LARGE, "challenge", "bind"), "acton", "`acton` is not one of"),
    Mistake("minimum", (*HUGE, "approve", "min"), 0, "must be greater than or equal to 1"),
    Mistake("variable-name", (*VARIABLES, "a-b"), "1", "`a-b` is not a variable name"),
    Mistake("forbidden-header", (*READS, "allow", "headers", "host"), "'a'", "the header `host` can't be changed"),
    Mistake("header-name", (*READS, "allow", "response_headers", "a b"), "'a'", "`a b` is not a header name"),
    Mistake("removed-header", (*READS, "allow", "remove_headers", 0), "a b", "`a b` is not a header name"),
    Mistake("header-value", (*CLOSED, "deny", "headers", "x-why"), "a\nb", "a header value holds no control"),
    Mistake("no-sub", (*HUGE, "mode", "enforce_for", "subjects", 0, "sub"), REMOVED, "missing field `sub`"),
    # Values that do not go with others
    Mistake("other-block", (*READS, "deny"), {"status": 404}, "a block `deny` beside `effect: allow`"),
    Mistake("no-block", (*LARGE, "challenge"), REMOVED, "`effect: challenge` needs a block `challenge`"),
    Mistake("tcp-with-paths", (*CLOSED, "tcp"), True, "`tcp: true` is only for rules without"),
    Mistake("tcp-under-hosts", (*HUGE, "tcp"), True, "`tcp: true` is only for policies without `hosts`"),
    Mistake("guard-expires", (*HUGE, "expires"), "2099-01-01T00:00:00Z", "a guard that expires opens access"),
    Mistake("nothing-opens", (*READS, "expires_opens"), True, "`expires_opens` is only for a guard"),
    Mistake("nobody-approves", (*HUGE, "approve", "approvers"), {}, "nobody can approve"),
    Mistake("auto-of-no-bool", (*HUGE, "approve", "auto", 0, "when"), "user.sub", "a condition must be of type bool"),
    Mistake("auto-of-name", (*HUGE, "approve", "auto", 0, "when"), "approver.sub == 'a'", "undeclared name"),
    Mistake("auto-of-no-answer", (*HUGE, "approve", "auto", 0, "answer"), "allow", "`allow` is not one of"),
    Mistake("approvers-when", (*HUGE, "approve", "approvers", "when"), "request.path == '/'", "undeclared name"),
    Mistake("uses-of-none", (*HUGE, "approve", "uses"), 0, "must be a whole number from 1 to 1000"),
    Mistake("uses-of-a-word", (*HUGE, "approve", "uses"), "many", "must be a whole number from 1 to 1000"),
    Mistake("nobody-is-asked-later", (*HUGE, "approve", "escalate", 0), {"after": "5m"}, "nobody is asked then"),
    Mistake("escalates-too-late", (*HUGE, "approve", "escalate", 0, "after"), "15m", "comes when the approval has"),
    Mistake("holds-too-long", (*HUGE, "approve", "hold"), "301s", "no call is held for longer than `5m`"),
    Mistake("age-of-no-proof", (*HUGE, "approve", "approvers", "max_age"), "1m", "`max_age` is the age of a proof"),
    Mistake("glass-of-nobody", (*HUGE, "approve", "break_glass", "groups"), [], "must not be empty"),
    Mistake("glass-of-no-factor", (*HUGE, "approve", "break_glass", "factors", 0), "sms", "`sms` is not one of"),
    Mistake("nobody-staged", (*HUGE, "mode", "enforce_for"), {}, "enforced for nobody"),
    Mistake("one-header", (*READS, "allow", "headers", "X_Sub"), "'a'", "`x-sub` and `X_Sub` are one header"),
    Mistake("set-and-removed", (*READS, "allow", "headers", "X-Debug"), "'a'", "is both set and removed"),
    Mistake("query-and-removed", (*READS, "allow", "query", "debug"), "'a'", "is both set and removed"),
    Mistake("same-name", (*LARGE, "name"), "huge", "the rule `huge` exists already"),
    Mistake("same-policy", (3,), document("p", rule("a", "deny")), "the policy `p` exists already"),
    # Patterns
    Mistake("template", (*READS, "paths", 0), "v1", "the template `v1` does not start with `/`"),
    Mistake("host", (*READS, "hosts", 0), "*", "`*` is not a host"),
    Mistake("policy-host", (POLICY, "spec", "hosts", 0), "a b", "`a b` is not a host"),
    Mistake("disjoint-hosts", (*CLOSED, "hosts"), ["other.example"], "none of these hosts is one of the policy's"),
    Mistake("workload", (*READS, "workloads", 0), "web", "`web` is no pattern of SPIFFE IDs"),
    Mistake(
        "staged-workload", (*CLOSED, "mode", "enforce_for", "workloads", 0), "web", "`web` is no pattern of SPIFFE IDs"
    ),
    # CEL
    Mistake("condition", (*CLOSED, "when"), "usr.sub == 'a'", "undeclared name `usr`"),
    Mistake("no-cel", (*READS, "when"), "user.sub ==", "expected"),
    Mistake("no-bool", (*HUGE, "when"), "variables.amount", "a condition must be of type bool, not double"),
    Mistake("types", (*LARGE, "when"), "variables.amount > 'a'", "`>` does not take (double, string)"),
    Mistake("header-cel", (*READS, "allow", "headers", "x-sub"), "user.subject", "`subject`"),
    Mistake("header-type", (*READS, "allow", "headers", "x-tier"), "5", "must be of type string, not int"),
    Mistake("metadata-cel", (*READS, "allow", "metadata", "amount"), "variables.amont", "`variables.amont`"),
    Mistake("scope-cel", (*LARGE, "challenge", "bind", "scope", 0), "nobody.sub", "undeclared name `nobody`"),
    Mistake("show-cel", (*LARGE, "challenge", "show", "amount"), "shown", "undeclared name `shown`"),
    Mistake("approve-show-cel", (*HUGE, "approve", "show", "who"), "who.sub", "undeclared name `who`"),
    Mistake("variable", (*VARIABLES, "amount"), "dobule(request.query.amount)", "unknown function `dobule`"),
    Mistake("base-variable", (*VARIABLES, "tier"), "request.hedrs.tier", "`hedrs`"),
    Mistake("empty-variable", (*VARIABLES, "mine"), " ", "an empty expression"),
    Mistake("number-for-variable", (*VARIABLES, "amount"), 5, "must be text, not `5`"),
    Mistake("circle", (*VARIABLES, "tier"), "string(variables.mine)", "need each other"),
    Mistake("itself", (*VARIABLES, "amount"), "variables.amount", "the variable `amount` needs itself"),
    Mistake(
        "unknown-function", (*READS, "when"), "definitions.is_stff(user)", "unknown function `definitions.is_stff`"
    ),
    Mistake(
        "unknown-list", (*CLOSED, "when"), "user.sub in definitions.blockd", "undeclared name `definitions.blockd`"
    ),
    # Definitions
    Mistake("body", (*SHARED, "functions", "is_staff", "body"), "who.group == 'a'", "`group`"),
    Mistake("no-body", (*SHARED, "functions", "in_group", "body"), REMOVED, "missing field `body`"),
    Mistake("type", (*SHARED, "functions", "in_group", "parameters", 1, "type"), "str", "`str` is no type"),
    Mistake("no-type", (*SHARED, "functions", "is_staff", "parameters", 0, "type"), REMOVED, "missing field `type`"),
    Mistake("parameter", (*SHARED, "functions", "is_staff", "parameters", 0), {"type": "user"}, "missing field `name`"),
    Mistake("result", (*SHARED, "functions", "size_of", "result"), "string", "must be of type string, not int"),
    Mistake("result-type", (*SHARED, "functions", "size_of", "result"), "str", "`str` is no type"),
    Mistake(
        "function-circle",
        (*SHARED, "functions", "in_group", "body"),
        "definitions.is_staff(who)",
        "the functions `definitions.in_group`, `definitions.is_staff` need each other",
    ),
    Mistake(
        "arguments",
        (*SHARED, "functions", "in_group", "body"),
        "definitions.size_of(who.groups, 1) > 0",
        "`definitions.size_of` does not take (list(string), int)",
    ),
    Mistake("mixed-list", (*SHARED, "lists", "blocked", 0), 1, "`blocked` holds values of several types"),
    Mistake("list-in-list", (*SHARED, "lists", "levels", 0), [1], "must be text, a number, `true` or `false`"),
    Mistake("empty-list", (*SHARED, "lists", "blocked"), [], EMPTY),
    Mistake("null-constant", (*SHARED, "constants", "most"), None, "must be text, a number, `true` or `false`"),
    Mistake("defined-twice", (*SHARED, "constants", "levels"), 5, "`levels` is defined already"),
    Mistake("no-lists", (*SHARED, "lists"), 5, "must be a mapping, not `5`"),
    # Windows of time and lists of addresses
    Mistake("zone", (*WINDOW, "zone"), "Berlin", "`Berlin` is no time zone"),
    Mistake("no-zone", (*WINDOW, "zone"), REMOVED, "missing field `zone`"),
    Mistake("no-hours", (*WINDOW, "hours"), [], EMPTY),
    Mistake("day", (*WINDOW, "hours", 0, "days", 0), "Monday", "`Monday` is no day of the week"),
    Mistake("clock", (*WINDOW, "hours", 0, "to"), "6 pm", "`6 pm` is no time of the day"),
    Mistake("no-clock", (*WINDOW, "hours", 0, "from"), REMOVED, "missing field `from`"),
    Mistake("holidays", (*WINDOW, "holidays", 0), "berln", "no holidays are called `berln`"),
    Mistake("holiday", (*SHARED, "holidays", "berlin", 0), "2026-04-31", "`2026-04-31` is no day"),
    Mistake("network", (*SHARED, "addresses", "office", 0), "192.0.2.1/24", "has bits behind its prefix"),
    Mistake("no-window", (*VARIABLES, "open"), "within(now, 'x')", "no window of time is called `x`"),
    Mistake("computed-window", (*VARIABLES, "open"), "within(now, user.sub)", "the name of a window of time must be"),
    Mistake("unknown-part", (*SHARED, "functoids"), {}, "unknown field `functoids`"),
    # Risk models
    Mistake("kind-of-model", (MODEL, "kind"), "RiskModle", "unknown kind `RiskModle`"),
    Mistake("no-model-name", (MODEL, "metadata", "name"), REMOVED, "missing field `name`"),
    Mistake("no-model", (POLICY, "spec", "risk"), "weights", "there is no risk model `weights`"),
    Mistake("signal-cel", (*SIGNALS, "often", "when"), "rat(user.sub) > 3", "unknown function `rat`"),
    Mistake("signal-risk", (*SIGNALS, "warned", "when"), "risk.score > 1.0", "undeclared name `risk`"),
    Mistake("no-signal-cel", (*SIGNALS, "often", "when"), REMOVED, "missing field `when`"),
    Mistake("late-key", (*SIGNALS, "often", "when"), "seen(string(session.idle))", "what `seen` asks must be known"),
    Mistake("weight", (*SIGNALS, "often", "weight"), 0, "must be greater than 0"),
    Mistake("no-reason", (*SIGNALS, "much", "reason"), REMOVED, "missing field `reason`"),
    Mistake("half-life", (*SIGNALS, "much", "half_life"), "60d", "must be at most 30d"),
    Mistake("since", (*SIGNALS, "warned", "since"), "user.sub", "a moment must be of type timestamp, not string"),
    Mistake("since-alone", (*SIGNALS, "often", "since"), "now", "`since` is only for a signal with a"),
    Mistake("model-variable", (MODEL, "spec", "variables", "amount"), "amunt", "undeclared name `amunt`"),
    Mistake("no-lowest", (*LEVELS, "low"), 5, "no level begins at 0"),
    Mistake("same-level", (*LEVELS, "high"), 30, "begin at one score"),
    Mistake("level", (*LEVELS, "medium"), "30", "must be a number, not the text `30`"),
    Mistake("no-levels", LEVELS, REMOVED, "missing field `levels`"),
    Mistake("no-signals", SIGNALS, {}, EMPTY),
)


_NO_TYPES: Final = frozenset({"list-for-variables", "variable", "number-for-variable", "itself"})
_ANY_NAME: Final = frozenset({"no-document", "no-lists", "unknown-part"})
HIDDEN_BY: Final[Mapping[str, frozenset[str]]] = {
    # Of a variable that is wrong nobody knows the type, nor with none that can be read which there are.
    "no-bool": _NO_TYPES,
    "types": _NO_TYPES,
    "metadata-cel": frozenset({"list-for-variables"}),
    # What can't be read may define it.
    "unknown-function": _ANY_NAME,
    "unknown-list": _ANY_NAME,
    "no-window": _ANY_NAME,
    "holidays": _ANY_NAME,
    "defined-twice": frozenset({"no-lists"}),
    "no-model": frozenset({"no-document", "no-model-name"}),
    "no-lowest": frozenset({"level"}),
    "same-level": frozenset({"level"}),
    # Without the effect nobody knows what goes with it.
    "other-block": frozenset({"effect"}),
    "nothing-opens": frozenset({"effect"}),
    "guard-expires": frozenset({"effect-of-guard"}),
    "no-block": frozenset({"no-effect"}),
    # The other mistake stands where one half of this one would.
    "same-policy": frozenset({"name"}),
    "set-and-removed": frozenset({"removed-header"}),
    "disjoint-hosts": frozenset({"policy-host"}),
    "circle": frozenset({"empty-variable"}),
    "function-circle": frozenset({"body"}),
    "body": frozenset({"no-type", "parameter"}),
}
"""What can't be told beside which other mistakes."""


def changed(mistakes: Iterable[Mistake]) -> list[Document]:
    """The good documents with these mistakes, none of which conflicts with another."""
    documents: list[Any] = good()
    # Elements behind others first, and keys before what stands under them: no change moves another one's place.
    for mistake in sorted(mistakes, key=lambda one: (-len(one.path), one.name)):
        around: Any = documents
        for step in mistake.path[:-1]:
            around = around[step]
        step = mistake.path[-1]
        if mistake.key:
            around[mistake.key] = around.pop(step)
        elif mistake.value is REMOVED:
            del around[step]
        elif isinstance(around, list) and step == len(around):
            around.append(copy.deepcopy(mistake.value))
        else:
            around[step] = copy.deepcopy(mistake.value)
    return documents


def told(documents: Iterable[Document]) -> tuple[Problem, ...]:
    """What is wrong with documents, each value of which stands on a line of its own."""
    text = "\n---\n".join(json.dumps(one, indent=2) for one in documents)
    try:
        load_text(text, "policies.yaml")
    except PolicyErrors as error:
        return error.problems
    return ()
