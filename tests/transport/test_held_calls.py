"""Calls that are held, on each transport: an answer wakes them, a stop lets them go, who is gone uses nothing up."""

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from checking import told
from lookup.deciding import SigningKey, key_set, new_key
from patience import comes
from serving import TRANSPORTS, Served, end, start

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.transport.grpcio import HELD
from extauthz.transport.methods import CHECK
from extauthz.wire.compose import check_request

POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: site}
spec:
  rules:
    - {name: users, when: has(user.sub), effect: allow}
    - name: four-eyes
      paths: ["/held"]
      effect: approve
      approve: {approvers: {groups: [treasury]}, hold: 60s}
"""
CROWD = HELD + 2
MOST = {"grpcio": HELD, "pyvoy": CROWD}
"""How many calls of a crowd each transport holds."""
FEW = 10
"""So few come at once that none is refused because others are being decided."""
ISSUER = "https://idp.example.com"
LISTEN = dict.fromkeys(("grpc", "web", "admin", "approvals"), "127.0.0.1:0")


class World:
    """A server, who calls it, and who approves."""

    def __init__(self, served: Served, transport: str, users: SigningKey, people: SigningKey) -> None:
        self.served = served
        self.transport = transport
        self._users = users
        self._channels: list[grpc.Channel] = []
        person = people.token(iss=ISSUER, aud="approvals", sub="anna", groups=["treasury"])
        self._client = httpx.Client(
            base_url=f"http://{served.said['approvals']}", headers={"authorization": f"Bearer {person}"}, timeout=20
        )

    def close(self) -> None:
        """Hang up."""
        self._client.close()
        for channel in self._channels:
            channel.close()

    def call(self, sub: str) -> "grpc.Future[bytes]":
        """A Check of this user that is under way, for a minute at most."""
        channel = grpc.insecure_channel(self.served.said["grpc"], options=[("grpc.use_local_subchannel_pool", 1)])
        self._channels.append(channel)
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK)
        token = self._users.token(iss=ISSUER, aud="shop", sub=sub, sid="s1")
        headers = {"authorization": f"Bearer {token}"}
        payload = check_request(host="example.com", path="/held", headers=headers, source_ip="203.0.113.9", id=sub)
        return check.future(payload, timeout=60)

    def asked(self, sub: str) -> str:
        """The id of what this user waits for, as soon as that is so."""
        found: list[str] = []

        def look() -> bool:
            listed = self._client.get("/v1/approvals", params={"status": "pending", "limit": 100})
            found.extend(one["id"] for one in listed.json()["approvals"] if json.dumps(sub) in json.dumps(one))
            return bool(found)

        assert comes(look)
        return found[0]

    def held(self, calls: int) -> None:
        """Return when so many are."""
        assert comes(lambda: self.served.metric("extauthz_held_calls") == calls)

    @property
    def woken(self) -> float:
        """How many calls an answer has woken, so that they did not wait until their time was over."""
        return self.served.metric('extauthz_holds_total{result="woken"}')

    def approve(self, id_: str) -> None:
        """Approve it."""
        self._client.post(f"/v1/approvals/{id_}/approve", json={}).raise_for_status()


@pytest.fixture(scope="module", params=TRANSPORTS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("held")
    users, people = new_key("u1"), new_key("p1")
    (folder / "policies").mkdir()
    (folder / "policies" / "site.yaml").write_text(POLICY)
    (folder / "users.json").write_text(key_set(users))
    (folder / "people.json").write_text(key_set(people))
    source = {"name": "idp", "issuer": ISSUER, "audiences": ["shop"], "jwks": "users.json", "algorithms": ["ES256"]}
    tokens = {"issuer": ISSUER, "audiences": ["approvals"], "jwks": "people.json", "algorithms": ["ES256"]}
    configuration = {
        "listen": LISTEN,
        "policies": ["policies/"],
        "store": "memory:",
        "identity": {"users": [source]},
        "approvals": {"tokens": tokens},
    }
    (folder / "extauthz.yaml").write_text(json.dumps(configuration))
    served = start(folder, request.param)
    made = World(served, request.param, users, people)
    yield made
    made.close()
    end(served)


def reason(call: "grpc.Future[bytes]") -> str:
    return told(CheckResponse.FromString(call.result(timeout=60)))["reason"]


def test_an_answer_wakes_a_call(world: World) -> None:
    call = world.call("wanda")
    world.held(1)
    woken = world.woken
    world.approve(world.asked("wanda"))
    assert reason(call) == "allowed"
    assert world.woken == woken + 1


def test_for_a_caller_who_is_gone_nothing_is_used_up(world: World) -> None:
    gone = world.call("gwen")
    world.held(1)
    gone.cancel()
    world.approve(world.asked("gwen"))
    world.held(0)
    let_go = 'extauthz_decisions_total{decision="deny",reason="state-unavailable",rule=""} 1.0'
    assert comes(lambda: let_go in world.served.probe("/metrics").text), "it was decided, as every Check is"
    assert reason(world.call("gwen")) == "allowed"


def test_a_transport_holds_what_it_can_and_a_server_that_stops_lets_all_go(world: World) -> None:
    """The last one: it ends the server."""
    calls, most = [], MOST[world.transport]
    for first in range(0, CROWD, FEW):
        calls += [world.call(f"stella-{number}") for number in range(first, min(first + FEW, CROWD))]
        world.held(min(len(calls), most))
    assert comes(lambda: sum(call.done() for call in calls) == CROWD - most)
    world.served.process.terminate()
    # All are decided once more at the same moment, and none is told that this is too much.
    assert {reason(call) for call in calls} == {"approval-required"}
    assert world.served.process.wait(timeout=60) == 0
