"""Workers serve people and programs that answer approvals, each at addresses of its own: on both transports, and on
each of the stores that they can share."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from itertools import product
from pathlib import Path

import grpc
import httpx
import pytest
from app.crews import COUNT, Running
from app.replicas import SHARED, shared_store
from checking import told
from lookup.deciding import ISSUER, SigningKey, key_set, new_key
from patience import GENEROUS, comes
from serving import TRANSPORTS

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz._pb.extauthz.v1 import approvals_pb2 as pb
from extauthz.app.key_file import make_keys
from extauthz.transport.methods import CHECK
from extauthz.web.approval_rpc import SERVICE
from extauthz.wire.compose import check_request

POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: bank}
spec:
  rules:
    - {name: users, when: has(user.sub), effect: allow}
    - name: four-eyes
      paths: ["/held"]
      effect: approve
      approve: {approvers: {groups: [treasury]}, min: 2, hold: 60s}
"""
LISTEN = ("grpc", "web", "admin", "approvals", "approvals_grpc")


class Bank:
    """A parent and its workers, callers of both, and people who answer them."""

    def __init__(self, folder: Path, transport: str, store: str) -> None:
        self._key: SigningKey = new_key("k1")
        known = {"issuer": ISSUER, "jwks": "jwks.json", "algorithms": ["ES256"]}
        configuration = {
            "listen": {name: f"unix:{folder}/{name}.sock" for name in LISTEN},
            "policies": ["policies/"],
            "reload": {"watch": False},
            "store": store,
            "identity": {"users": [{**known, "name": "idp", "audiences": ["shop"]}]},
            "approvals": {"tokens": {**known, "audiences": ["approvals"]}},
        }
        (folder / "policies").mkdir()
        (folder / "policies" / "bank.yaml").write_text(POLICY)
        (folder / "jwks.json").write_text(key_set(self._key))
        (folder / "extauthz.yaml").write_text(json.dumps(configuration))
        make_keys(folder / "keys.json", replace=False)
        self.running = Running(folder, transport)

    def check(self, worker: int, sub: str, path: str) -> str:
        """Why a Check that this worker gets is answered as it is."""
        headers = {"authorization": f"Bearer {self._key.token(sub=sub, sid='s1')}"}
        request = check_request(host="example.com", path=path, headers=headers, body=b"", source_ip="127.0.0.1")
        with grpc.insecure_channel(self.running.address(worker)) as channel:
            check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK)
            return told(CheckResponse.FromString(check(request, timeout=GENEROUS, wait_for_ready=True)))["reason"]

    def woken(self, worker: int) -> float:
        """How many calls that it held an answer has woken, so that they did not wait until their time was over."""
        name = 'extauthz_holds_total{result="woken"} '
        lines = self.running.probe(worker, "/metrics").text.splitlines()
        return float(next(line.removeprefix(name) for line in lines if line.startswith(name)))

    def held(self, worker: int) -> None:
        """Return when it holds a call."""
        assert comes(lambda: "\nextauthz_held_calls 1.0\n" in self.running.probe(worker, "/metrics").text)

    def approver(self, sub: str) -> str:
        """The bearer token of somebody of the treasury."""
        return f"Bearer {self._key.token(sub=sub, aud='approvals', groups=['treasury'])}"

    def asked(self, worker: int) -> str:
        """The id of what waits for an answer, as soon as this worker lists it by HTTP."""
        found: list[str] = []

        def look() -> bool:
            with self._people(worker) as client:
                answer = client.get("/v1/approvals", params={"status": "pending"})
            if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE:  # the store was late, on a busy machine
                found.extend(one["id"] for one in answer.raise_for_status().json()["approvals"])
            return bool(found)

        assert comes(look)
        return found[0]

    def approve(self, worker: int, id_: str) -> str:
        """Vote as Anna, by HTTP; how it stands then."""
        answered: list[httpx.Response] = []

        def vote() -> bool:
            with self._people(worker) as client:
                answered.append(client.post(f"/v1/approvals/{id_}/approve", json={}))
            return answered[-1].status_code != HTTPStatus.SERVICE_UNAVAILABLE  # else the store was late: "ask again"

        assert comes(vote)
        return str(answered[-1].raise_for_status().json()["status"])

    def approve_by_rpc(self, worker: int, id_: str) -> int:
        """Vote as Ben, by gRPC; how it stands then."""
        with grpc.insecure_channel(self.running.address(worker, "approvals_grpc")) as channel:
            approve: grpc.UnaryUnaryMultiCallable[pb.VoteRequest, pb.Approval] = channel.unary_unary(
                f"/{SERVICE}/Approve",
                request_serializer=pb.VoteRequest.SerializeToString,
                response_deserializer=pb.Approval.FromString,
            )
            metadata = (("authorization", self.approver("ben")),)
            answered: list[int] = []

            def vote() -> bool:
                try:
                    asked = pb.VoteRequest(id=id_)
                    answered.append(approve(asked, metadata=metadata, timeout=GENEROUS, wait_for_ready=True).status)
                except grpc.RpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:  # else the store was late: "ask again"
                        raise
                return bool(answered)

            assert comes(vote)
            return answered[0]

    def _people(self, worker: int) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=self.running.address(worker, "approvals").removeprefix("unix:"))
        headers = {"authorization": self.approver("anna")}
        return httpx.Client(transport=transport, base_url="http://approvals", headers=headers, timeout=GENEROUS)


SHORT = [("grpcio", "sqlite"), ("pyvoy", "redis")]
PAIRS = [
    pytest.param(pair, marks=[] if pair in SHORT else [pytest.mark.long], id="-".join(pair))
    for pair in product(TRANSPORTS, SHARED)
]


@pytest.fixture(params=PAIRS)
def bank(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    transport, kind = request.param
    with shared_store(kind) as store:
        made = Bank(tmp_path_factory.mktemp("w"), transport, store.url)
        try:
            made.running.waits_for("workers-serving")
            yield made
        finally:
            made.running.end()


def test_what_one_worker_was_asked_another_one_is_told_by_http_and_by_grpc(bank: Bank) -> None:
    with ThreadPoolExecutor(1) as threads:
        for asked in range(COUNT):
            answered = (asked + 1) % COUNT
            call = threads.submit(bank.check, asked, f"caller-{asked}", "/held")
            id_ = bank.asked(answered)
            bank.held(asked)
            assert bank.approve(answered, id_) == "pending"
            assert bank.approve_by_rpc(answered, id_) == pb.APPROVED
            assert call.result(GENEROUS) == "allowed"
            assert bank.woken(asked) == 1
