"""Whole servers tell a receiver what their guardrails do: signed, once, and no more than was asked for."""

import base64
import hmac
import json
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
import serving
from checking import told
from commanding import command
from e2e.factor_store import FactorStore
from patience import GENEROUS, comes
from publishing import Asked, Page, Site, publishing
from serving import Served
from telling.telling_parts import SECRET

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.app.key_file import make_keys
from extauthz.cli.quickstart.tokens import AUDIENCE, ISSUER, TokenIssuer
from extauthz.transport.methods import SERVICE
from extauthz.wire.compose import check_request

POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: pay}
spec:
  rules:
    - {name: open, paths: ["/open"], effect: allow}
    - {name: people, paths: ["/pay/*"], when: has(user.sub), effect: allow}
    - {name: frozen, paths: ["/pay/frozen"], effect: deny, deny: {reason: account-frozen}}
    - {name: proof, paths: ["/pay/large"], effect: challenge, challenge: {factors: [totp]}}
"""
EVENTS = """
store: sqlite:///extauthz.db
audit: {path: audit.jsonl}
events:
  source: https://authz.example.com
  webhooks:
    - {name: siem, url: "SITE/siem", secrets: [{file: hook.secret}], addresses: [127.0.0.1]}
    - name: chat
      url: "SITE/chat"
      secrets: [{file: hook.secret}]
      addresses: [127.0.0.1]
      types: [decision.*, subject.*]
      rules: [pay/frozen]
"""
PREFIX = "extauthz.v1."
FLOOD = 10_000
AT_ONCE = 200


class Place:
    """A folder with a configuration, a receiver, and a person with an authenticator app."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.folder = folder
        self.site = site
        self.issuer = TokenIssuer.create()
        source = {"name": "idp", "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": "jwks.json"}
        users = [{**source, "algorithms": ["ES256"]}]
        (folder / "policies").mkdir()
        self.policy = folder / "policies" / "site.yaml"
        self.policy.write_text(POLICY)
        (folder / "jwks.json").write_text(self.issuer.jwks())
        (folder / "hook.secret").write_text(SECRET)
        (folder / "extauthz.yaml").write_text(
            serving.CONFIG + EVENTS.replace("SITE", site.url) + f"identity: {json.dumps({'users': users})}\n"
        )
        make_keys(folder / "keys.json", replace=False)
        self.factors = FactorStore(folder=folder)

    @property
    def token(self) -> str:
        return self.issuer.token("uma", {"sid": "s-1"}, now=time.time())

    def asks(self, served: Served, path: str, **headers: str) -> str:
        """The reason of the answer to Uma."""
        sent = {"authorization": f"Bearer {self.token}", **headers}
        answer = served.answer(path, sent, timeout=GENEROUS)
        return told(answer)["reason"]

    def told(self, path: str = "/siem") -> list[dict[str, Any]]:
        """The events that were taken here, each once."""
        events = {}
        for one in self.site.asked:
            if one.path == path and one.status == 204:
                assert is_ours(one)
                event = json.loads(one.body)
                assert event["id"] == one.headers["webhook-id"]
                events[event["id"]] = event
        return list(events.values())

    def kinds(self, path: str = "/siem") -> Counter[str]:
        return Counter(event["type"].removeprefix(PREFIX) for event in self.told(path))


def is_ours(asked: Asked) -> bool:
    """As docs/webhooks.md tells receivers to check."""
    headers = asked.headers
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + asked.body
    mac = hmac.digest(base64.b64decode(SECRET.removeprefix("whsec_")), signed, "sha256")
    expected = "v1," + base64.b64encode(mac).decode()
    return any(hmac.compare_digest(expected, one) for one in headers["webhook-signature"].split(" "))


def denials(events: Sequence[dict[str, Any]]) -> int:
    """How many denials of the frozen rule these tell of, one by one and by counts."""
    of_rule = [event for event in events if event["data"].get("rule") == "pay/frozen"]
    alone = [event for event in of_rule if event["type"] == f"{PREFIX}decision.deny"]
    folded = [event["data"] for event in of_rule if event["type"] == f"{PREFIX}events.folded"]
    return len(alone) + sum(int(one["count"]) for one in folded if one["type"] == f"{PREFIX}decision.deny")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with publishing() as site:
        site.pages |= {"/siem": Page(status=204), "/chat": Page(status=204)}
        yield Place(tmp_path, site)


def test_what_guardrails_do_is_told_signed_and_masked(place: Place) -> None:
    code = place.factors.add_app("uma")
    served = serving.start(place.folder)
    try:
        assert place.asks(served, "/open") == "allowed"
        assert place.asks(served, "/pay/frozen?iban=DE00") == "account-frozen"
        assert served.answer("/nothing", {}).status.code != 0
        assert place.asks(served, "/pay/large") == "proof-required"
        assert place.asks(served, "/pay/large", **{"x-extauthz-otp": code(0)}) == "allowed"
        assert command("subjects", "block", "uma", "--config", "extauthz.yaml", folder=place.folder).returncode == 0
        place.policy.write_text(POLICY.replace("frozen", "closed"))
        served.next_event("reloaded")
        place.policy.write_text("kind: Nonsense")
        served.next_event("reload-refused")
        wanted = {
            "decision.deny": 2,
            "decision.challenge": 1,
            "challenge.opened": 1,
            "factor.proven": 1,
            "challenge.met": 1,
            "grant.given": 1,
            "subject.blocked": 1,
            "policy.in-force": 2,
            "policy.refused": 1,
        }
        assert comes(lambda: place.kinds() >= Counter(wanted)), place.kinds()
        assert {kind: place.kinds()[kind] for kind in wanted} == wanted
        assert comes(lambda: place.kinds("/chat") == {"decision.deny": 1}), place.kinds("/chat")
        assert comes(lambda: served.metric('extauthz_deliveries_total{result="delivered",sink="chat"}') == 1)
        assert served.metric('extauthz_event_stream_total{result="dropped",sink="siem"}') == 0
        assert served.metric('extauthz_event_stream_total{result="folded",sink="siem"}') == 0
    finally:
        serving.end(served)
    (frozen,) = place.told("/chat")
    assert frozen["source"] == "https://authz.example.com"
    assert frozen["data"]["rule"] == "pay/frozen"
    assert frozen["data"]["request"]["query"] == {"iban": 1}
    assert frozen["data"]["identity"]["user"]["sub"] == "uma"
    blocked = next(event for event in place.told() if event["type"] == f"{PREFIX}subject.blocked")
    assert (blocked["data"]["by"], blocked["data"]["subject"]["sub"]) == ("command", "uma")
    audited = {
        line["decision_id"]
        for line in map(json.loads, (place.folder / "audit.jsonl").read_text().splitlines())
        if line.get("decision") in ("deny", "challenge")
    }
    assert {event["subject"] for event in place.told() if ".decision." in event["type"]} == audited
    said = b"".join(one.body for one in place.site.asked)
    assert b"DE00" not in said
    assert place.token.split(".")[0].encode() not in said, "no token, not even its beginning"


def test_a_receiver_that_was_away_is_told_when_it_is_back(place: Place) -> None:
    place.site.down()
    served = serving.start(place.folder)
    try:
        for _ in range(3):
            assert place.asks(served, "/pay/frozen") == "account-frozen"
        assert comes(lambda: served.metric('extauthz_deliveries_total{result="failed",sink="siem"}') >= 1)
        assert place.asks(served, "/open") == "allowed"
        place.site.up()
        served.process.send_signal(signal.SIGHUP)  # or it would be left alone for a while
        assert comes(lambda: place.kinds()["decision.deny"] == 3 == place.kinds("/chat")["decision.deny"])
        assert comes(lambda: served.metric('extauthz_deliveries_waiting{sink="chat"}') == 0)
    finally:
        serving.end(served)


def test_a_flood_of_denials_is_few_letters_and_a_right_count(place: Place) -> None:
    served = serving.start(place.folder)
    try:
        flood(served, "/pay/frozen")
        assert place.asks(served, "/open") == "allowed"
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(GENEROUS) == 0
    finally:
        serving.end(served)
    # What was not told by then is in the store, the counts among it: the next server tells it.
    served = serving.start(place.folder)
    try:
        assert comes(lambda: denials(place.told("/chat")) == FLOOD), place.kinds("/chat")
        assert comes(lambda: denials(place.told()) == FLOOD), place.kinds()
    finally:
        serving.end(served)
    taken = place.told("/chat")
    windows = place.kinds("/chat")["events.folded"]
    assert 1 <= windows < FLOOD // 100, "as many as minutes that it took, and one more"
    assert len(taken) <= windows * 11
    decisions = {
        line["decision_id"]
        for line in map(json.loads, (place.folder / "audit.jsonl").read_text().splitlines())
        if line.get("reason") == "account-frozen"
    }
    assert len(decisions) == FLOOD
    for event in taken:
        if event["type"] == f"{PREFIX}events.folded":
            assert event["data"]["example"] in decisions
            assert event["data"]["rule"] == "pay/frozen"


def flood(served: Served, path: str) -> None:
    """So many denied requests to one path."""
    request = check_request(host="example.com", path=path, headers={}, source_ip="127.0.0.1")
    with grpc.insecure_channel(served.said["grpc"]) as channel:
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/Check")
        asked = 0
        while asked < FLOOD:
            calls = [check.future(request, timeout=GENEROUS) for _ in range(min(AT_ONCE, FLOOD - asked))]
            answers = [CheckResponse.FromString(call.result()) for call in calls]
            asked += sum(told(one)["reason"] == "account-frozen" for one in answers)


def test_servers_with_one_store_tell_of_each_decision_once_without_an_audit(place: Place) -> None:
    config = place.folder / "extauthz.yaml"
    config.write_text(config.read_text().replace("audit: {path: audit.jsonl}\n", ""))
    servers = [serving.start(place.folder) for _ in range(2)]
    try:
        for number in range(6):
            assert place.asks(servers[number % 2], "/pay/frozen") == "account-frozen"
        assert comes(lambda: place.kinds("/chat")["decision.deny"] == 6)
        delivered = 'extauthz_deliveries_total{result="delivered",sink="chat"}'
        assert comes(lambda: sum(one.metric(delivered) for one in servers) == 6)
        assert place.kinds("/chat") == {"decision.deny": 6}
        assert len({event["subject"] for event in place.told("/chat")}) == 6
        assert comes(lambda: place.kinds()["policy.in-force"] == 2), "each server has its policies"
    finally:
        for one in servers:
            serving.end(one)
