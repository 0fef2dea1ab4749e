"""The dearest requests that could be found, each within the bounds of what is read: what one costs at the most.

Every case runs in processes of its own, in which nothing was remembered. Processor time is the least of some runs, so
that other work on the machine does not count; memory is the peak above what the process had before.

    python bench/worst.py [--json FILE] [--check]
"""

import argparse
import asyncio
import gc
import json
import os
import sys
import time
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from jwt.algorithms import ECAlgorithm

from extauthz.check.checker import Checker
from extauthz.check.surroundings import Ruling, Surroundings
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.resolver import Resolver
from extauthz.policy.load import load_text
from extauthz.stepup.keys import SECRET_BYTES, generate_key, parse_keys
from extauthz.store.open import open_store
from extauthz.wire.compose import check_request
from extauthz.wire.messages import MessageTypes
from extauthz.wire.reading import Reading
from extauthz.wire.size import LARGEST, LARGEST_BESIDE

MOST_MS = 50.0
MOST_MB = 64.0
ROUNDS = 5
SHOWN = 20
NOW = 1_790_000_000
ISSUER = "https://idp.example.com"
POLICY = r"""
apiVersion: extauthz/v1
kind: Policy
metadata: {name: worst}
spec:
  rules:
    - {name: open, paths: ["/open/**"], effect: allow}
    - {name: query, paths: ["/query"], effect: allow, when: "has(request.query.amount)"}
    - {name: json, paths: ["/json"], effect: allow, when: "request.json.amount == 1"}
    - {name: items, paths: ["/items"], effect: allow,
       when: "request.json.items.all(i, i.price > 0.0 && i.name.startsWith('a'))"}
    - {name: pairs, paths: ["/pairs"], effect: allow, when: "request.json.all(a, !request.json.exists(b, b == a + 1))"}
    - {name: shared, paths: ["/shared"], effect: allow, when: "request.json.all(i, i in request.json)"}
    - {name: form, paths: ["/form"], effect: allow, when: "request.form.amount == '1'"}
    - {name: call, paths: ["/worst.Tree/Plant"], effect: allow, when: "request.grpc.label == 'a'"}
    - {name: parts, paths: ["/parts"], effect: allow, when: "request.multipart.amount == '1'"}
    - {name: digits, paths: ["/digits"], effect: deny, when: "string(request.body).matches('[0-9]{16}')"}
    - {name: states, paths: ["/states"], effect: allow, when: "request.json.s.matches('(a|b)*a(a|b){30}c')"}
    - {name: in-loop, paths: ["/loop"], effect: allow, when: "request.json.exists(s, s.matches('(a|b)*a(a|b){30}c'))"}
    - {name: last, paths: ["/last"], effect: allow, when: "request.json.s.lastIndexOf(request.json.t) > 0"}
    - {name: lower, paths: ["/lower"], effect: allow, when: "string(request.body).lowerAscii().contains('secret')"}
    - {name: quoted, paths: ["/quoted"], effect: allow, when: "size(strings.quote(string(request.body))) > 9"}
    - {name: words, paths: ["/words"], effect: allow, when: "string(request.body).split(',').all(w, w != 'q')"}
    - {name: headers, paths: ["/headers"], effect: allow, when: "request.headers.all(k, request.headers[k] != 'x')"}
    - {name: bound, paths: ["/bound"], effect: challenge, challenge: {factors: [totp], bind: request}}
    - {name: proven, paths: ["/bound"], effect: allow}
"""
_KEY = ec.generate_private_key(ec.SECP256R1())
_JWK = {**ECAlgorithm.to_jwk(_KEY.public_key(), as_dict=True), "kid": "k1", "alg": "ES256", "use": "sig"}
_IDENTITY = {
    "workload": {"sources": ["source_principal", "xfcc", "client_cert", "peer_certificate"]},
    "users": [
        {
            "name": "idp",
            "issuer": ISSUER,
            "audiences": ["shop"],
            "jwks": "-",
            "algorithms": ["ES256"],
            "from": ["authorization", "cookie:session"],
        },
        {"name": "edge", "issuer": ISSUER, "from": ["metadata:envoy.filters.http.jwt_authn/payload"]},
    ],
}
JSON = {"content-type": "application/json"}
GRPC = {"content-type": "application/grpc", "te": "trailers"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
MEGABYTE = 1_048_576


def _described() -> bytes:
    """A gRPC method that takes a tree."""
    kinds = FieldDescriptorProto
    file = FileDescriptorProto(name="worst.proto", package="worst", syntax="proto3")
    node = file.message_type.add(name="Node")
    node.field.add(name="label", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    node.field.add(name="nodes", number=2, type=kinds.TYPE_MESSAGE, type_name=".worst.Node", label=kinds.LABEL_REPEATED)
    file.service.add(name="Tree").method.add(name="Plant", input_type=".worst.Node", output_type=".worst.Node")
    return FileDescriptorSet(file=[file]).SerializeToString()


def make_checker() -> Checker:
    """A checker that reads everything that can be read of a request."""
    return Checker(
        Ruling(
            policies=load_text(POLICY, "worst.yaml"),
            resolver=Resolver(
                IdentitySettings.model_validate(_IDENTITY),
                ClientSettings(trusted_hops=1),
                {"idp": json.dumps({"keys": [_JWK]})},
            ),
            reading=Reading(messages=MessageTypes.of(_described(), "worst.pb")),
        ),
        Surroundings(
            clock=lambda: NOW * 1_000_000_000,
            monotonic=lambda: 0.0,
            entropy=os.urandom,
            store=open_store("memory:", base=Path()),
            keys=parse_keys(generate_key(os.urandom(SECRET_BYTES), created=NOW)),
        ),
    )


def answer(checker: Checker, payload: bytes) -> bytes:
    """The answer, after whatever look-up it takes."""
    started = checker.start(payload)
    answered = started if isinstance(started, bytes) else asyncio.run(checker.finish(started, deadline=None))
    assert isinstance(answered, bytes)
    return answered


def token(**claims: object) -> str:
    """A token that is accepted."""
    good = {"iss": ISSUER, "aud": "shop", "sub": "alice", "iat": NOW, "exp": NOW + 3600, "sid": "s1"}
    return jwt.encode({**good, **claims}, _KEY, algorithm="ES256", headers={"kid": "k1"})


def post(
    path: str, headers: Mapping[str, str | list[str]] = JSON, body: bytes | None = None, *, raw: bool = False
) -> bytes:
    """A request as Envoy sends it."""
    return check_request(
        method="POST",
        host="app.example",
        path=path,
        headers=headers,
        body=body,
        raw_headers=raw,
        source_ip="203.0.113.9",
        time=(NOW, 5),
        id="r",
    )


def field(number: int, content: bytes) -> bytes:
    """A field of bytes, text or a message."""
    head = bytearray()
    for part in (number << 3 | 2, len(content)):
        rest = part
        while rest > 127:
            head.append(rest & 127 | 128)
            rest >>= 7
        head.append(rest)
    return bytes(head) + content


HTTP = field(2, b"POST") + field(4, b"/open/x") + field(5, b"app.example")


def check(http: bytes = b"", attributes: bytes = b"") -> bytes:
    """A Check with more fields of the request, or of the attributes, than Envoy sends."""
    return field(1, field(4, field(2, HTTP + http)) + attributes)


def noted(namespace: bytes, key: bytes, value: bytes) -> bytes:
    """Metadata of a filter."""
    return field(11, field(1, field(1, namespace) + field(2, field(1, field(1, key) + field(2, value)))))


def call(message: bytes) -> bytes:
    """A gRPC call with one message."""
    return post("/worst.Tree/Plant", GRPC, b"\0" + len(message).to_bytes(4, "big") + message)


EMPTIES = b"\x0a\x00" * 32_500
"""Values of a list in the fewest bytes."""
LIST = field(6, EMPTIES)
CASES: Mapping[str, Callable[[], bytes]] = {
    "nothing odd": lambda: post("/open/x"),
    "path: escapes": lambda: post("/open/" + "%41" * 21_000),
    "path: escapes of escapes": lambda: post("/open/" + "%25" * 21_000 + "41"),
    "path: 1,000 segments": lambda: post("/open" + "/%41%42" * 1_000),
    "query: 9,999 parameters": lambda: post("/query?" + "&".join(f"a{n:x}" for n in range(9_999))),
    "query: escapes": lambda: post("/query?a=" + "%41" * 21_000),
    "headers: 4,090 of them": lambda: post("/headers", {f"x-{n}": "v" for n in range(4_090)}),
    "headers: 4,090 lines of one": lambda: post("/headers", {"x-h": ["v"] * 4_090}, raw=True),
    "headers: too many, raw": lambda: check(field(13, b"\x0a\x00" * 130_000)),
    "headers: too many, joined": lambda: check(
        b"".join(field(3, field(1, b"%x" % n) + field(2, b"")) for n in range(24_000))
    ),
    "content-type: parameters": lambda: post(
        "/json", {"content-type": "application/json" + "".join(f";{n:x}=b" for n in range(16_000))}, b"{}"
    ),
    "content-type: quotes": lambda: post("/json", {"content-type": '"a' * 65_000 + ",b"}, b"{}"),
    "cookie: commas": lambda: post("/open/x", {"cookie": "session" + "," * 131_000}),
    "cookie: 4,000 lines": lambda: post("/open/x", {"cookie": ["a=session"] * 4_000}, raw=True),
    "accept: ranges": lambda: post("/none", {"accept": ",".join(f"a/{n:x};q=0.1" for n in range(290))}),
    "x-forwarded-client-cert: elements": lambda: post("/open/x", {"x-forwarded-client-cert": "By=," * 2_047 + "By="}),
    "x-forwarded-client-cert: backslashes": lambda: post(
        "/open/x", {"x-forwarded-client-cert": 'Subject="' + "\\a" * 65_000 + '"'}
    ),
    "client-cert: 128 KiB": lambda: post("/open/x", {"client-cert": ":" + "A" * 131_000 + ":"}),
    "peer certificate: 64 KiB of escapes": lambda: check(attributes=field(1, field(5, b"%2D" * 21_000))),
    "token: 16 KiB, first seen": lambda: post(
        "/open/x", {"authorization": f"Bearer {token(groups=[f'g{n}' for n in range(1_300)])}"}
    ),
    "metadata: a list": lambda: check(attributes=noted(b"x", b"k", LIST)),
    "metadata: claims": lambda: check(
        attributes=noted(
            b"envoy.filters.http.jwt_authn", b"payload", field(5, field(1, field(1, b"k") + field(2, LIST)))
        )
    ),
    "json: flat list": lambda: post("/json", JSON, b"[" + b",".join([b"1"] * 9_990) + b"]"),
    "json: keys": lambda: post(
        "/json", JSON, b'{"amount":1' + b"".join(b',"%x\\u0041%s":1' % (n, b"a" * 80) for n in range(9_990)) + b"}"
    ),
    "json: objects": lambda: post("/json", JSON, b'{"amount":1,"b":[' + b",".join([b'{"a":{}}'] * 3_200) + b"]}"),
    "json: numbers": lambda: post("/json", JSON, b"[" + b",".join([b"0." + b"1" * 100] * 9_900) + b"]"),
    "json: one key beyond the BMP": lambda: post(
        "/json", JSON, b'{"amount":1,"' + b"x" * (MEGABYTE - 500) + "\U0001f600".encode() + b'":1}'
    ),
    "json: a loop over items": lambda: post(
        "/items", JSON, json.dumps({"items": [{"price": 1.0, "name": "ab"}] * 3_300}).encode()
    ),
    "json: loops up to their limit": lambda: post("/pairs", JSON, b"[" + b",".join([b"1"] * 400) + b"]"),
    "json: searches up to their limit": lambda: post("/shared", JSON, b"[" + b",".join([b"1"] * 4_000) + b"]"),
    "json-rpc refused: calls": lambda: post(
        "/none", JSON, b"[" + b",".join([b'{"jsonrpc":"2.0","method":"a","id":1}'] * 99) + b"]"
    ),
    "json-rpc refused: long id": lambda: post(
        "/none",
        JSON,
        b'{"jsonrpc":"2.0","method":"a","id":"' + "\U0001f600".encode() * ((MEGABYTE - 500) // 4) + b'"}',
    ),
    "form: fields": lambda: post("/form", FORM, b"&".join(b"a%d%%41%%41=%%41%%41" % n for n in range(9_999))),
    "form: escapes": lambda: post("/form", FORM, b"a=" + b"%41" * 50_000),
    "grpc: as many values as are read": lambda: call(b"\x12\x03\x0a\x01a" * 3_300),
    "grpc: 512 KiB of empty messages": lambda: call(b"\x12\x00" * (MEGABYTE // 4 - 9)),
    "grpc: 512 KiB of unknown fields": lambda: call(b"\xf8\x01\x01" * (MEGABYTE // 6 - 9)),
    "multipart: delimiters": lambda: post(
        "/parts", {"content-type": "multipart/form-data; boundary=a"}, b"--a\r\n" * ((LARGEST - 9_999) // 5)
    ),
    "body: digits by a regular expression": lambda: post("/digits", JSON, b"1" * (LARGEST - 9_999)),
    "body: states of a regular expression": lambda: post("/states", JSON, b'{"s":"%s"}' % _random(36_000)),
    "body: the same in a loop": lambda: post(
        "/loop", JSON, json.dumps([_random(500).decode() for _ in range(200)]).encode()
    ),
    "body: looked for from its end": lambda: post(
        "/last", JSON, json.dumps({"s": "a" * 700_000, "t": "ab" + "a" * 340_000}).encode()
    ),
    "body: lower case beyond ASCII": lambda: post("/lower", JSON, "é".encode() * ((LARGEST - 9_999) // 2)),
    "body: quoted": lambda: post("/quoted", JSON, b'"' * 499_000),
    "body: words": lambda: post("/words", JSON, b"," * 49_000),
    "body: hashed for a proof": lambda: post(
        "/bound", {**JSON, "authorization": f"Bearer {token()}"}, b"x" * (LARGEST - 9_999)
    ),
    "body: 2 MiB of text": lambda: check(
        field(3, field(1, b"x-envoy-auth-partial-body") + field(2, b"false"))
        + field(11, "\U0001f600".encode() * ((LARGEST - 9_999) // 4))
    ),
    "bytes: unknown fields beside a body": lambda: check(
        b"\xf8\x01\x01" * 80_000 + field(12, b"x" * (LARGEST - LARGEST_BESIDE))
    ),
    "bytes: 2 MiB of empty messages": lambda: b"\x0a\x00" * (LARGEST // 2),
    "bytes: 16 MiB": lambda: bytes(16 * MEGABYTE - 1),
}


def _random(count: int) -> bytes:
    return bytes(b"ab"[byte & 1] for byte in os.urandom(count))


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a request costs: milliseconds of the processor, and megabytes at the most."""

    name: str
    bytes: int
    milliseconds: float
    megabytes: float


def measure(name: str) -> Result:
    """One case, in processes of its own."""
    payload = CASES[name]()
    times = [_apart(lambda: _time_of(payload)) for _ in range(ROUNDS)]
    peak = max(_apart(lambda: _resident_of(payload)), _apart(lambda: _traced_of(payload)))
    return Result(name=name, bytes=len(payload), milliseconds=min(times) * 1e3, megabytes=peak / 1e6)


def _time_of(payload: bytes) -> float:
    checker = _warmed()
    started = time.process_time()
    answer(checker, payload)
    return time.process_time() - started


def _traced_of(payload: bytes) -> float:
    """The peak of what Python has allocated; the parser of protobuf is beside that."""
    checker = _warmed()
    tracemalloc.start()
    answer(checker, payload)
    return float(tracemalloc.get_traced_memory()[1])


def _resident_of(payload: bytes) -> float:
    """The peak of the process beyond what it had; what it had freed before does not count."""
    checker = _warmed()
    before = _kilobytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    answer(checker, payload)
    return (_kilobytes("VmHWM") - before) * 1024.0


def _warmed() -> Checker:
    checker = make_checker()
    answer(checker, post("/open/warm"))
    gc.collect()
    return checker


def _kilobytes(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0])


def _apart(work: Callable[[], float]) -> float:
    """What `work` returns in a child of this process."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(sending, repr(work()).encode())
        os._exit(0)
    os.close(sending)
    with os.fdopen(receiving) as stream:
        told = stream.read()
    os.waitpid(child, 0)
    return float(told)


def main() -> int:
    """Measure, print, and with --check hold the bounds."""
    parser = argparse.ArgumentParser(description="what the dearest requests cost")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--check", action="store_true", help="exit 1 when a request costs more than it may")
    options = parser.parse_args()
    results = sorted(map(measure, CASES), key=lambda one: -one.milliseconds)
    print(f"{len(results)} requests, the {SHOWN} dearest; at most {MOST_MS:.0f} ms and {MOST_MB:.0f} MB\n")
    print(f"{'request':<44}{'bytes':>12}{'ms':>8}{'MB':>8}")
    for one in results[:SHOWN]:
        print(f"{one.name:<44}{one.bytes:>12,}{one.milliseconds:>8.1f}{one.megabytes:>8.1f}")
    print(f"\nthe most memory: {max(one.megabytes for one in results):.1f} MB")
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(one) for one in results], indent=2) + "\n")
    missed = [one for one in results if one.milliseconds > MOST_MS or one.megabytes > MOST_MB]
    for one in missed:
        print(f"missed: {one.name} takes {one.milliseconds:.1f} ms and {one.megabytes:.1f} MB", file=sys.stderr)
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
