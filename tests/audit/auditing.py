"""Decisions to record, and audit files read back as plain JSON."""

import json
from pathlib import Path
from typing import Any

from extauthz.record.decision import DecisionRecord
from extauthz.values.decisions import Allow
from extauthz.values.identity import Identity, User
from extauthz.wire.compose import check_request
from extauthz.wire.decode import decode

START = 1_790_000_000_123_456_789


def decision(number: int = 1, path: str = "/pay", user: User | None = None, **request: Any) -> DecisionRecord:
    """An allow of a request as Envoy would have sent it."""
    return DecisionRecord(
        decision_id=f"d-{number}",
        revision="sha256:0",
        decision=Allow(rule="p/r"),
        request=decode(check_request(host="example.com", path=path, **request)),
        identity=Identity(user=user),
        started_ns=START,
        ended_ns=START + 250_000,
    )


def lines(path: Path) -> list[dict[str, Any]]:
    """The decisions in an audit file; every line must be whole."""
    return [line for line in all_lines(path) if "event" not in line]


def all_lines(path: Path) -> list[dict[str, Any]]:
    """Every line of an audit file, events among them; each must be whole."""
    content = path.read_bytes()
    assert content == b"" or content.endswith(b"\n")
    return [json.loads(line) for line in content.splitlines()]


def ids(path: Path) -> list[str]:
    return [line["decision_id"] for line in lines(path)]
