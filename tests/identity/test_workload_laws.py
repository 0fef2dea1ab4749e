"""Laws of workloads, whatever sources are in use and whatever they are told."""

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from identity.authority import copied, fingerprint, handed, root
from identity.checks import build_request
from identity.issuer import NOW, Issuer
from identity.workload_tokens import (
    ACCOUNTS,
    BUNDLE_NAME,
    DOMAIN,
    HEADER,
    SVIDS,
    account_token,
    bundle,
    known,
    resolver,
    svid,
    workload_of,
)

from extauthz.errors import IdentityConflict, Refused
from extauthz.identity.resolver import Resolver
from extauthz.identity.workload_token_config import KUBERNETES
from extauthz.values.identity import Identity

NAMES = tuple(f"spiffe://{DOMAIN}/ns/shop/sa/{name}" for name in ("web", "admin"))
CA = root()
LEAVES = {name: CA.leaf(name) for name in NAMES}
SOURCES = ("source_principal", "peer_certificate", "xfcc", "client_cert", "jwt_svid", "kubernetes")
ONE = st.sampled_from(NAMES)
MAYBE = st.none() | ONE


def everything(issuer: Issuer, *sources: str, without_principal: bool = False) -> Resolver:
    """Workloads by these sources, all of them set up."""
    blocks: dict[str, Any] = {
        "jwt_svid": SVIDS["jwt_svid"] | {"from": ["authorization"]},
        "kubernetes": ACCOUNTS["kubernetes"] | {"from": [f"header:{HEADER}"]},
        "xfcc": {"without_principal": without_principal},
        "client_cert": {"without_principal": without_principal},
    }
    used = {name: block for name, block in blocks.items() if name in sources}
    return resolver({"sources": sources, **used}, {BUNDLE_NAME: bundle(issuer), KUBERNETES: issuer.jwks})


def told(issuer: Issuer, by: Mapping[str, str]) -> tuple[dict[str, str], str, str]:
    """Headers, principal and certificate in which each source names its workload."""
    headers: dict[str, str] = {}
    if "xfcc" in by:
        headers["x-forwarded-client-cert"] = f"URI={by['xfcc']}"
    if "client_cert" in by:
        headers["client-cert"] = handed(LEAVES[by["client_cert"]])
    if "jwt_svid" in by:
        headers["authorization"] = f"Bearer {_token(issuer, 'jwt_svid', by['jwt_svid'])}"
    if "kubernetes" in by:
        headers[HEADER] = _token(issuer, "kubernetes", by["kubernetes"])
    certificate = by.get("peer_certificate")
    return headers, by.get("source_principal", ""), "" if certificate is None else copied(LEAVES[certificate])


_TOKENS: dict[tuple[int, str, str], str] = {}


def _token(issuer: Issuer, source: str, workload: str) -> str:
    key = (id(issuer), source, workload)
    if key not in _TOKENS:
        name = workload.rpartition("/")[2]
        claim = {"namespace": "shop", "serviceaccount": {"name": name}}
        claims: dict[str, Any] = {"sub": f"system:serviceaccount:shop:{name}", "kubernetes.io": claim}
        _TOKENS[key] = svid(issuer, sub=workload) if source == "jwt_svid" else account_token(issuer, "ec", **claims)
    return _TOKENS[key]


def outcome(issuer: Issuer, here: Resolver, by: Mapping[str, str]) -> Identity | type[Refused]:
    headers, principal, certificate = told(issuer, by)
    try:
        found = here.identify(build_request(headers, principal=principal, certificate=certificate), now=NOW)
    except Refused as refused:
        return type(refused)
    assert isinstance(found, Identity)
    return found


SAYINGS = st.dictionaries(st.sampled_from(SOURCES), ONE)
IN_USE = st.lists(st.sampled_from(SOURCES), min_size=1, unique=True).filter(
    lambda sources: bool({"source_principal", "peer_certificate", "jwt_svid", "kubernetes"} & set(sources))
)


@given(by=SAYINGS, sources=IN_USE, alone=st.booleans())
def test_two_sources_that_disagree_never_identify(
    issuer: Issuer, by: dict[str, str], sources: list[str], alone: bool
) -> None:
    alone = alone and bool({"xfcc", "client_cert"} & set(sources))
    found = outcome(issuer, everything(issuer, *sources, without_principal=alone), by)
    named = {by[source] for source in sources if source in by}
    if len(named) > 1:
        assert found is IdentityConflict
    elif isinstance(found, Identity) and found.workload is not None:
        assert {found.workload.id} == named
        assert found.workload.verified_by in sources


@given(by=SAYINGS, sources=IN_USE)
def test_hearsay_alone_names_nobody(issuer: Issuer, by: dict[str, str], sources: list[str]) -> None:
    proofs = {"source_principal", "peer_certificate", "jwt_svid", "kubernetes"} & set(sources) & set(by)
    found = outcome(issuer, everything(issuer, *sources), by)
    if isinstance(found, Identity):
        assert (found.workload is not None) == bool(proofs)


@given(by=SAYINGS, sources=IN_USE)
def test_a_source_that_is_not_in_use_names_nobody(issuer: Issuer, by: dict[str, str], sources: list[str]) -> None:
    found = outcome(issuer, everything(issuer, *sources), by)
    if not set(sources) & set(by) and isinstance(found, Identity):
        assert found.workload is None


@given(principal=ONE, by=SAYINGS)
def test_adding_a_header_never_changes_the_workload_that_the_principal_proves(
    issuer: Issuer, principal: str, by: dict[str, str]
) -> None:
    here = everything(issuer, *SOURCES)
    found = outcome(issuer, here, {**by, "source_principal": principal})
    if isinstance(found, Identity):
        assert workload_of(found) == (principal, "source_principal")


@given(principal=ONE, header=st.text(max_size=60) | st.text(alphabet='URISubjectspiffe:/=;," \\', max_size=80))
def test_no_text_in_a_header_changes_whom_the_principal_names(issuer: Issuer, principal: str, header: str) -> None:
    here = everything(issuer, *SOURCES)
    for name in ("x-forwarded-client-cert", "client-cert", "client-cert-chain", HEADER, "authorization"):
        found = known(here, {name: header}, principal=principal)
        if isinstance(found, Identity):
            assert workload_of(found) == (principal, "source_principal")


@given(copy=MAYBE, other=ONE)
def test_no_header_changes_which_certificate_is_held(issuer: Issuer, copy: str | None, other: str) -> None:
    here = everything(issuer, "source_principal", "peer_certificate", "xfcc", "client_cert")
    by = {"client_cert": other, **({"peer_certificate": copy} if copy is not None else {})}
    found = outcome(issuer, here, by)
    if isinstance(found, Identity):
        held = {holder for holder in found.holders if holder.startswith("cert:")}
        assert held == ({f"cert:{fingerprint(LEAVES[copy])}"} if copy is not None else set())
