"""Audit files as a server writes them, with decisions of many kinds."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from extauthz.record.audit_line import DecisionLine, IdentityLine, RequestLine, RuleLine, UserLine, WorkloadLine
from extauthz.record.decision import DecisionName
from extauthz.record.instants import rfc3339
from extauthz.record.life import LifeKind
from extauthz.record.life_lines import LifeLine, SubjectLine

START = 1_790_000_000 * 1_000_000_000
SECOND = 1_000_000_000
BOT = "spiffe://prod.example.org/ns/shop/sa/bot"
_DECISIONS: tuple[DecisionName, ...] = ("allow", "allow", "deny", "challenge", "hold")
_REASONS = {"allow": "rule-allows", "deny": "frozen", "challenge": "step-up-required", "hold": "approval-required"}


def decided(number: int, **changes: object) -> DecisionLine:
    """The decision with this number, a second after the one before it."""
    decision = _DECISIONS[number % len(_DECISIONS)]
    line = DecisionLine(
        v=1,
        time=rfc3339(START + number * SECOND + 123),
        decision_id=f"{number:032x}",
        decision=decision,
        reason=_REASONS[decision],
        rule=f"payments/rule-{number % 7}",
        status=200 if decision == "allow" else 403,
        revision="sha256:0",
        duration_us=250.5,
        rules=[RuleLine(rule=f"payments/rule-{number % 7}", effect="allow", mode="enforce", result="match")],
        request=RequestLine(
            method="GET",
            scheme="https",
            host=f"host-{number % 3}.example.com",
            path=f"/v1/accounts/a{number % 11}",
            headers={"traceparent": [f"00-{number + 1:032x}-00000000000000ff-01"], "cookie": 1},
            query={"token": 1},
        ),
        identity=IdentityLine(
            workload=WorkloadLine(id=BOT, verified_by="mtls") if number % 2 else None,
            user=UserLine(sub=f"user-{number % 5}", iss="https://idp.example.com"),
        ),
    )
    return msgspec.structs.replace(line, **changes)


def happened(event: LifeKind, number: int, **fields: str) -> LifeLine:
    """An event some seconds after the start."""
    return LifeLine(
        v=1,
        event=event,
        time=rfc3339(START + number * SECOND),
        by="requester",
        subject=SubjectLine(sub="user-1", iss="https://idp.example.com"),
        **fields,  # type: ignore[arg-type]  # texts all
    )


def append(path: Path, lines: Iterable[DecisionLine | LifeLine]) -> Path:
    """Write lines behind those that there are."""
    with path.open("ab") as file:
        file.writelines(msgspec.json.encode(line) + b"\n" for line in lines)
    return path
