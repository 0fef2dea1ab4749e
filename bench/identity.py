"""What it costs to know who calls: tokens, certificate headers and the whole identity of a request.

Medians over rounds in which every case runs in turn, by the time of this process alone, so that the ratios hold though
the machine's speed drifts.

    python bench/identity.py [--json FILE] [--check]
"""

import argparse
import json
import sys
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from extauthz.cli.quickstart.certificates import create_authority
from extauthz.identity import client_cert, xfcc
from extauthz.identity.claims import VerifiedToken
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.connection import Establishing
from extauthz.identity.dpop import read_proof
from extauthz.identity.lookups import Introspect, Introspected
from extauthz.identity.resolver import Resolver
from extauthz.identity.tokens import Verifier
from extauthz.identity.workload import NO_FILES, WorkloadFiles
from extauthz.values.identity import Identity
from extauthz.values.request import EMPTY, HttpRequest, Peer, RequestView

ISSUER = "https://idp.example.com"
NOW = 1_800_000_000.0
CLAIMS = {"iss": ISSUER, "aud": "shop", "sub": "u1", "exp": NOW + 600, "iat": NOW, "groups": ["dev"]}
JWT_AUTHN = "envoy.filters.http.jwt_authn"
ROUNDS = 31
ROUND_SECONDS = 0.01

TRUST_DOMAIN = "prod.example.org"
WEB = f"spiffe://{TRUST_DOMAIN}/ns/shop/sa/web"
CLUSTER = "https://kubernetes.default.svc"
ELEMENT = f'By=spiffe://prod.example.org/ns/pay/sa/api;Hash={"ab" * 32};Subject="CN=web,O=Shop";URI={WEB}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing to measure; `target` in microseconds is what `--check` holds it to."""

    name: str
    run: Callable[[], object]
    target: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The median of one case in microseconds, and how many times that of the first case it is."""

    name: str
    microseconds: float
    ratio: float
    target: float | None

    @property
    def missed(self) -> bool:
        return self.target is not None and self.microseconds >= self.target


def token(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, algorithm: str, number: int = 0) -> str:
    return jwt.encode({**CLAIMS, "n": number}, key, algorithm=algorithm, headers={"kid": algorithm})


def proof(key: ec.EllipticCurvePrivateKey, access_token: str) -> str:
    """A proof of possession (RFC 9449) for the request that `check` makes."""
    hashed = urlsafe_b64encode(sha256(access_token.encode()).digest()).rstrip(b"=").decode()
    claims = {"jti": "1", "htm": "GET", "htu": "https://shop.example.com/", "iat": NOW, "ath": hashed}
    header = {"typ": "dpop+jwt", "jwk": ECAlgorithm.to_jwk(key.public_key(), as_dict=True)}
    return jwt.encode(claims, key, algorithm="ES256", headers=header)


def cases() -> list[Case]:
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    ec_key = ec.generate_private_key(ec.SECP256R1())
    keys = [
        RSAAlgorithm.to_jwk(rsa_key.public_key(), as_dict=True) | {"kid": "RS256"},
        ECAlgorithm.to_jwk(ec_key.public_key(), as_dict=True) | {"kid": "ES256"},
    ]
    jwks = {"idp": json.dumps({"keys": keys})}
    question = {"url": f"{ISSUER}/introspect", "client_id": "bench", "client_secret_file": "secret"}
    sources = [
        {"name": "idp", "issuer": ISSUER, "audiences": ["shop"], "jwks": "jwks.json"},
        {"name": "edge", "issuer": ISSUER, "from": [f"metadata:{JWT_AUTHN}/payload"]},
        {"name": "asked", "issuer": ISSUER, "from": ["cookie:opaque"], "introspection": question},
    ]
    settings = IdentitySettings.model_validate({"users": sources})
    verifier = Verifier(settings.users, jwks)
    resolver = Resolver(settings, ClientSettings(), jwks)
    known = token(rsa_key, "RS256")
    establish = Establishing(settings.workload).establish
    request = check({"authorization": f"Bearer {known}", xfcc.HEADER: ELEMENT, "cookie": "theme=dark; lang=en"})

    opaque = "0123456789abcdef"
    asked = check({"cookie": f"opaque={opaque}"})
    answer = Introspected(response={"active": True, "token_type": "Bearer", "sub": "u1"}, asked_at=NOW)
    resolver.identify(asked, now=NOW, answers={Introspect(source="asked", token=opaque): answer})
    claimed = check({}, metadata={JWT_AUTHN: {"payload": {**CLAIMS, "n": 1.0}}})
    proven = check({"dpop": proof(ec_key, known)}).http
    assert proven is not None

    rs256 = first_seen(settings, jwks, [token(rsa_key, "RS256", number) for number in range(200)])
    es256 = first_seen(settings, jwks, [token(ec_key, "ES256", number) for number in range(200)])
    return [
        Case(name="SHA-256 of the token", run=lambda: sha256(known.encode()).digest()),
        Case(
            name="token from the cache",
            run=lambda: verifier.verify(known, place="authorization", now=NOW),
            target=10,
        ),
        Case(name="token of RS256, first seen", run=lambda: next(rs256)),
        Case(name="token of ES256, first seen", run=lambda: next(es256)),
        Case(name="opaque token from the cache", run=lambda: resolver.identify(asked, now=NOW)),
        Case(name="claims from Envoy", run=lambda: resolver.identify(claimed, now=NOW)),
        Case(name="proof of possession", run=lambda: read_proof(proven, known, now=NOW)),
        Case(name="XFCC, one element", run=lambda: xfcc.parse(ELEMENT), target=5),
        Case(name="XFCC, eight elements", run=lambda: xfcc.parse(",".join([ELEMENT] * 8))),
        Case(
            name="workload, first seen",
            run=lambda: establish(WEB, "", (ELEMENT,), None, None),
        ),
        *workload_cases(),
        Case(name="whole identity, known token and peer", run=lambda: resolver.identify(request, now=NOW)),
    ]


def workload_cases() -> list[Case]:
    """Workloads by everything but the principal; each known already, and the certificate also when it is not."""
    with TemporaryDirectory() as folder:
        authority = create_authority(Path(folder) / "ca.pem", common_name="bench", now=datetime.fromtimestamp(NOW, UTC))
        certificate = authority.issue_workload(Path(folder) / "web", WEB).certificate.read_text()
        files = WorkloadFiles(authorities={TRUST_DOMAIN: authority.certificate.read_text()})
    copied = quote(certificate, safe="")
    der = x509.load_pem_x509_certificate(certificate.encode()).public_bytes(Encoding.DER)
    key = ec.generate_private_key(ec.SECP256R1())
    jwk = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    bundle = json.dumps({"keys": [{**jwk, "kid": "k", "use": "jwt-svid", "key_ops": ["verify"]}]})
    tokens = {"audiences": ["extauthz"], "from": ["header:x-workload-token"]}
    chained: dict[str, Any] = {"sources": ["peer_certificate"], "peer_certificate": {"bundles": {TRUST_DOMAIN: "-"}}}
    cluster = {"trust_domain": TRUST_DOMAIN, "issuer": CLUSTER, "jwks": "-", **tokens}
    claims = {"aud": ["extauthz"], "exp": NOW + 600}
    account = {"namespace": "shop", "serviceaccount": {"name": "web"}}
    svid = {**claims, "sub": WEB}
    projected = {**claims, "iss": CLUSTER, "sub": "system:serviceaccount:shop:web", "kubernetes.io": account}

    def carried(claims: Mapping[str, Any]) -> RequestView:
        text = jwt.encode(dict(claims), key, algorithm="ES256", headers={"kid": "k"})
        return check({"x-workload-token": text}, principal="")

    def known(
        name: str,
        workload: Mapping[str, Any],
        request: RequestView,
        jwks: Mapping[str, str] = EMPTY,
        files: WorkloadFiles = NO_FILES,
    ) -> Case:
        resolver = Resolver(IdentitySettings.model_validate({"workload": workload}), ClientSettings(), jwks, files)
        found = resolver.identify(request, now=NOW)
        assert isinstance(found, Identity), name
        assert found.workload is not None, name
        return Case(name=name, run=lambda: resolver.identify(request, now=NOW))

    unknown = Establishing(IdentitySettings.model_validate({"workload": {"sources": ["peer_certificate"]}}).workload)
    return [
        Case(name="peer certificate, first seen", run=lambda: unknown.establish("", copied, None, None, None)),
        known(
            "peer certificate, known, chain verified", chained, check({}, principal="", certificate=copied), files=files
        ),
        known(
            "Client-Cert, known",
            {"sources": ["client_cert"], "client_cert": {"without_principal": True}},
            check({client_cert.HEADER: f":{b64encode(der).decode()}:"}, principal=""),
        ),
        known(
            "JWT-SVID from the cache",
            {"sources": ["jwt_svid"], "jwt_svid": {"bundles": {TRUST_DOMAIN: "-"}, **tokens}},
            carried(svid),
            {f"spiffe://{TRUST_DOMAIN}": bundle},
        ),
        known(
            "service account from the cache",
            {"sources": ["kubernetes"], "kubernetes": cluster},
            carried(projected),
            {"workload:kubernetes": json.dumps({"keys": [{**jwk, "kid": "k"}]})},
        ),
    ]


def first_seen(settings: IdentitySettings, jwks: dict[str, str], tokens: list[str]) -> Iterator[VerifiedToken]:
    """Verify the tokens for ever; a new verifier, which knows none of them, begins each turn."""
    while True:
        verifier = Verifier(settings.users, jwks)
        for text in tokens:
            verified = verifier.verify(text, place="authorization", now=NOW)
            assert isinstance(verified, VerifiedToken)
            yield verified


def check(
    headers: dict[str, str], metadata: Mapping[str, Any] = EMPTY, *, principal: str = WEB, certificate: str = ""
) -> RequestView:
    http = HttpRequest(
        id="1",
        method="GET",
        scheme="https",
        host="shop.example.com",
        authority="shop.example.com",
        path="/",
        segments=(),
        raw_path="/",
        raw_query="",
        protocol="HTTP/2",
        headers={name: (value,) for name, value in headers.items()},
    )
    source = Peer(ip="192.0.2.1", principal=principal, certificate=certificate)
    return RequestView(source=source, http=http, metadata=metadata)


def measure(cases: list[Case]) -> list[Result]:
    numbers = [calibrate(case.run) for case in cases]
    samples: list[list[float]] = [[] for _ in cases]
    for _ in range(ROUNDS):
        for case, number, sample in zip(cases, numbers, samples, strict=True):
            sample.append(timed(case.run, number) / number * 1e6)
    medians = [median(sample) for sample in samples]
    return [
        Result(name=case.name, microseconds=value, ratio=value / medians[0], target=case.target)
        for case, value in zip(cases, medians, strict=True)
    ]


def calibrate(run: Callable[[], object]) -> int:
    """How many runs fill one round; what they leave in caches is the warm-up."""
    number = 1
    while (seconds := timed(run, number)) < ROUND_SECONDS / 2:
        number *= 2
    return max(1, round(number * ROUND_SECONDS / seconds))


def timed(run: Callable[[], object], number: int) -> float:
    start = time.process_time()
    for _ in range(number):
        run()
    return time.process_time() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    options = parser.parse_args()
    results = measure(cases())
    print(f"{'case':<40}{'µs':>9}{'ratio':>9}{'target':>9}")
    for result in results:
        target = "" if result.target is None else f"< {result.target:g}"
        print(f"{result.name:<40}{result.microseconds:>9.2f}{result.ratio:>9.2f}{target:>9}")
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n", encoding="utf-8")
    missed = [result for result in results if result.missed]
    for result in missed:
        print(f"missed: {result.name}: {result.microseconds:.2f} µs, target < {result.target:g} µs")
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
