"""Builders of what a challenge is made of, shared by the tests of stepup, store, proof and web."""

from collections.abc import Callable
from hashlib import sha256

from extauthz.stepup.keys import KeyRing, generate_key, parse_keys
from extauthz.values.decisions import Challenge, ChallengeDemand
from extauthz.values.identity import Identity, Subject, User, Workload
from extauthz.values.request import HttpRequest, Peer, RequestView

NOW = 1_795_255_200.0
ALICE = Subject("https://idp.example.com", "alice")
SESSION = "sid:1"


def counted_entropy(seed: str = "test") -> Callable[[int], bytes]:
    """Bytes that never repeat and are the same in every run."""
    count = 0

    def entropy(length: int) -> bytes:
        nonlocal count
        count += 1
        block = sha256(f"{seed} {count}".encode()).digest()
        return (block * (length // len(block) + 1))[:length]

    return entropy


def ring(*names: str) -> KeyRing:
    """A key ring with a key for each name, oldest first."""
    keys = tuple(
        parse_keys(generate_key(sha256(name.encode()).digest(), created=int(NOW))).newest
        for name in (names or ("first",))
    )
    return KeyRing(keys)


def http(**changed: object) -> HttpRequest:
    """A GET of a payment."""
    values: dict[str, object] = {
        "id": "req-1",
        "method": "GET",
        "scheme": "https",
        "host": "app.example.com",
        "authority": "app.example.com",
        "path": "/pay/a1",
        "segments": ("pay", "a1"),
        "raw_path": "/pay/a1",
        "raw_query": "amount=5",
        "protocol": "HTTP/2",
        "headers": {},
        "body": b"",
        **changed,
    }
    return HttpRequest(**values)  # type: ignore[arg-type]  # the types are those of the fields that a test names


def view(**changed: object) -> RequestView:
    """A Check of `http(**changed)`."""
    return RequestView(source=Peer(ip="203.0.113.9", port=4711), http=http(**changed), time=(int(NOW), 123_456_789))


def alice(**changed: object) -> Identity:
    """Alice in her session, in a browser."""
    values: dict[str, object] = {
        "user": User(sub=ALICE.id, iss=ALICE.issuer, sid="1"),
        "session": SESSION,
        "holders": frozenset({"peer:p"}),
        "client_ip": "203.0.113.9",
        **changed,
    }
    return Identity(**values)  # type: ignore[arg-type]  # the types are those of the fields that a test names


def shop() -> Workload:
    """A workload."""
    return Workload(
        id="spiffe://prod.example.org/ns/shop/sa/web",
        trust_domain="prod.example.org",
        path="/ns/shop/sa/web",
        verified_by="source_principal",
    )


def demand(rule: str = "payments/large", **changed: object) -> ChallengeDemand:
    """A demand for a one-time code."""
    values: dict[str, object] = {
        "rule": rule,
        "factors": ("totp",),
        "max_age": 300.0,
        "binding": f"action:{rule}",
        **changed,
    }
    return ChallengeDemand(**values)  # type: ignore[arg-type]  # the types are those of the fields that a test names


def challenge(*demands: ChallengeDemand) -> Challenge:
    """A challenge by these demands, or by one."""
    return Challenge(rule="payments/large", demands=demands or (demand(),))
