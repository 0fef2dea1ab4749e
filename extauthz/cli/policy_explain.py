"""`extauthz policy explain`: how one request is decided, and why."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.check.refusals import refusal
from extauthz.cli.policy_options import COLOURS, FormatOption, print_json, read_text
from extauthz.errors import Refused
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.resolver import Resolver
from extauthz.policy.decide import decide
from extauthz.policy.load import load
from extauthz.policy.policy_set import PolicySet
from extauthz.values.decisions import Allow, Challenge, Deny, Evaluation, Hold
from extauthz.values.grants import NO_FACTS
from extauthz.values.request import Caller, RequestView
from extauthz.wire.caller import classify
from extauthz.wire.decode import decode
from extauthz.wire.encode import encode
from extauthz.wire.jsonform import check_request_from_json, check_response_to_json

_KEY = b"what is explained leaves nothing behind, so it binds to nothing"
_DECISIONS = {Allow: "allow", Deny: "deny", Challenge: "challenge", Hold: "hold"}


def explain(
    policy: Annotated[list[Path], typer.Option(help="A policy file or folder; may be given several times.")],
    request: Annotated[Path, typer.Option(help="A CheckRequest as protobuf JSON.", dir_okay=False)],
    config: Annotated[
        Path | None, typer.Option(help="The configuration whose identity sources apply.", dir_okay=False)
    ] = None,
    output: FormatOption = "text",
) -> None:
    """Decide one request and show how every candidate rule came out.

    Nothing is looked up: no grant is known. The time is the request's own, or now if it has none.
    """
    resolver, declared_headers, accept = _identity_sources(config)
    policies = load(policy, declared_headers=declared_headers)
    payload = check_request_from_json(read_text(request))
    view: RequestView | None = None
    try:
        view = decode(payload, accept=accept)
        now = view.time[0] + view.time[1] / 1e9 if view.time != (0, 0) else time.time()
        identity = resolver.identify(view, now=now)
        evaluation = decide(
            policies.candidates(view, identity),
            request=view,
            identity=identity,
            facts=NO_FACTS,
            now=now,
            binding_keys=[_KEY],
        )
    except Refused as error:
        evaluation = Evaluation(decision=refusal(error))
    explanation = _explanation(evaluation, view, policies)
    if output == "json":
        print_json(explanation)
    else:
        _print_explanation(explanation, {rule.name: rule.description for rule in policies.rules})


def _identity_sources(config: Path | None) -> tuple[Resolver, frozenset[str] | None, frozenset[str]]:
    """Who is who, which headers Envoy sends, and what is accepted in a path."""
    if config is None:
        return Resolver(IdentitySettings(), ClientSettings(), {}), None, frozenset()
    # Imported here: the other commands of this group need neither settings nor what they wire.
    from extauthz.app.wiring import make_resolver
    from extauthz.settings import load_settings

    settings = load_settings(config)
    return make_resolver(settings), settings.declared_headers, frozenset(settings.paths.accept)


def _explanation(evaluation: Evaluation, view: RequestView | None, policies: PolicySet) -> dict[str, Any]:
    """The object of design section 7."""
    decision = evaluation.decision
    payload = encode(
        decision,
        request=view,
        caller=classify(view) if view is not None else Caller.API,
        decision_id="explain",
        revision=policies.revision,
        settable=policies.settable_headers,
    )
    return {
        "decision": _DECISIONS[type(decision)],
        "reason": decision.reason,
        "rule": decision.rule,
        "status": _status(payload),
        "revision": policies.revision,
        "rules": [
            {"rule": one.rule, "effect": one.effect, "mode": one.mode, "result": one.result, "error": one.error}
            for one in evaluation.rules
        ],
        "response": check_response_to_json(payload),
    }


def _status(payload: bytes) -> int:
    """The HTTP status that the caller gets from Envoy; of an allow 200, though the upstream has its own say."""
    response = CheckResponse.FromString(payload)
    return int(response.denied_response.status.code) if response.HasField("denied_response") else 200


def _print_explanation(explanation: dict[str, Any], descriptions: Mapping[str, str]) -> None:
    console = Console()
    word = explanation["decision"]
    rule = f" by {explanation['rule']}" if explanation["rule"] else ""
    console.print(
        f"[bold {COLOURS[word]}]{word}[/] {escape(explanation['reason'] + rule)}, status {explanation['status']}"
    )
    table = Table(Column("rule", overflow="fold"), "effect", "mode", "result", Column("error", overflow="fold"))
    for one in explanation["rules"]:
        description = descriptions[one["rule"]]
        table.add_row(
            escape(one["rule"]) + (f"\n[dim]{escape(description)}[/]" if description else ""),
            *(escape(one[name] or "") for name in ("effect", "mode", "result", "error")),
        )
    if explanation["rules"]:
        console.print(table)
    else:
        console.print("no rule covers this request")
    console.print(f"revision {explanation['revision']}", style="dim")
