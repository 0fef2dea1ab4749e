"""What a record holds of a request, and that no secret of it is ever among that."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from audit.auditing import START, decision
from pydantic import ValidationError

from extauthz.record.config import NEVER_KEPT, AuditSettings, KeepSettings
from extauthz.record.decision import DecisionRecord
from extauthz.record.masking import Keep, line_of
from extauthz.values.decisions import Deny
from extauthz.values.identity import User


def written(record: DecisionRecord, keep: Keep = Keep()) -> dict[str, Any]:  # noqa: B008 - frozen
    """The line of a record as a reader of JSON sees it."""
    line: dict[str, Any] = json.loads(msgspec.json.encode(line_of(record, keep)))
    return line


def test_the_names_of_what_is_masked_are_kept_with_how_often_it_came() -> None:
    record = decision(
        path="/pay?amount=5&tag=a&tag=b&once&0123456789abcdef",
        headers={"authorization": "Bearer x", "accept": "text/html", "x-tier": ["a", "b"]},
        raw_headers=True,
        body=b"12345",
        user=User(sub="u", iss="i", claims={"sub": "u", "tenant": "t1", "scope": "read"}),
    )
    line = written(record)
    request, user = line["request"], line["identity"]["user"]
    assert request["query"] == {"amount": 1, "tag": 2, "once": 1}
    assert request["unnamed"] == 1
    assert request["headers"]["authorization"] == 1
    assert request["headers"]["accept"] == ["text/html"]
    assert request["headers"]["x-tier"] == 2
    assert request["body"] == 5
    assert user["claims"] == ["tenant"]
    assert user["kept"] == {"sub": "u", "scope": "read"}


def test_what_the_configuration_keeps_is_in_the_clear() -> None:
    keep = Keep.of(
        KeepSettings(headers=frozenset({"X-Tier"}), query=frozenset({"amount"}), claims=frozenset({"tenant"}))
    )
    record = decision(
        path="/pay?amount=5&code=1",
        headers={"x-tier": "gold"},
        user=User(sub="u", iss="i", claims={"tenant": "t1", "email": "e"}),
    )
    line = written(record, keep)
    assert line["request"]["query"] == {"amount": ["5"], "code": 1}
    assert line["request"]["headers"]["x-tier"] == ["gold"]
    assert line["identity"]["user"]["kept"] == {"tenant": "t1"}


@pytest.mark.parametrize("name", sorted({*NEVER_KEPT, "Authorization", "COOKIE"}))
def test_credentials_can_not_be_kept(name: str) -> None:
    with pytest.raises(ValidationError, match="carries credentials"):
        AuditSettings.model_validate({"path": "audit.jsonl", "keep": {"headers": [name]}})


def test_a_long_or_odd_header_is_masked_even_if_listed() -> None:
    line = written(decision(headers={"accept": "x" * 513, "user-agent": "é"}))
    assert line["request"]["headers"] == {"accept": 1, "user-agent": 1}


@pytest.mark.parametrize(
    ("query", "number"), [("a=" + "%62" * 1_001, 1), ("a=1&" * 200 + "b=2", 201), ("%61=%zz&" * 8_000, 8_001)]
)
def test_a_query_that_would_take_long_is_told_by_its_number_alone(query: str, number: int) -> None:
    request = written(decision(path=f"/pay?{query}"))["request"]
    assert (request["has_query"], request["unnamed"]) == (True, number)
    assert not {"query", "query_error"} & set(request)


def test_what_is_to_be_kept_of_a_long_query_is() -> None:
    keep = Keep.of(KeepSettings(query=frozenset({"amount"})))
    request = written(decision(path="/pay?" + "a=1&" * 5_000 + "%61mount=7"), keep)["request"]
    assert request["query"] == {"a": 5_000, "amount": ["7"]}


def test_a_query_that_can_not_be_read_is_told_without_it() -> None:
    line = written(decision(path="/pay?a=1;b=2"))
    assert "query" not in line["request"]
    assert line["request"]["query_error"] == "the query is ambiguous: some readers take `;` for a separator"


def test_the_record_says_when_what_and_why() -> None:
    line = written(decision(7))
    assert line["v"] == 1
    assert line["time"] == "2026-09-21T14:13:20.123456789Z"
    assert (line["decision_id"], line["decision"], line["reason"], line["rule"]) == ("d-7", "allow", "allowed", "p/r")
    assert (line["status"], line["duration_us"]) == (200, 250.0)


def test_a_refusal_without_request_or_identity_is_a_record_too() -> None:
    refused = DecisionRecord(
        decision_id="d",
        revision="r",
        decision=Deny(reason="malformed-path", status=400),
        detail="a segment of the path is empty",
        started_ns=START,
        ended_ns=START,
    )
    line = written(refused)
    assert (line["status"], line["detail"]) == (400, "a segment of the path is empty")
    assert "request" not in line


def test_the_folder_of_the_file_is_that_of_the_configuration() -> None:
    assert AuditSettings.model_validate({"path": "audit.jsonl"}).path == Path("audit.jsonl")
