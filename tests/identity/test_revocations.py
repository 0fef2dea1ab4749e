"""What is revoked, beside a reading of the rules that knows no index; and what of a token it can be revoked by."""

import json
from collections.abc import Callable
from dataclasses import replace
from math import inf
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from identity import issuer as issuing
from identity.issuer import Issuer

from extauthz.errors import InvalidCredential, Refused, SubjectBlocked, TokenRevoked
from extauthz.identity.actors import subjects
from extauthz.identity.claims import verified
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.resolver import Resolver
from extauthz.identity.revocations import DIGEST_PREFIX, KINDS, Kind, Revocation, Revocations
from extauthz.identity.user_config import JwtSource
from extauthz.values.identity import Credential, Identity, Subject, User, Workload
from extauthz.wire.compose import check_request
from extauthz.wire.decode import decode
from extauthz.wire.reading import STRICT

NOW = 1_000.0
IDP, OTHER = "https://idp.example.com", "https://other.example"
WEB = Subject("", "spiffe://example.org/web")
PEOPLE = (Subject(IDP, "a"), Subject(IDP, "b"), Subject(OTHER, "a"), WEB)
NAMES = ("a", "b", "s", "t", DIGEST_PREFIX + "t")

revocations = st.builds(
    Revocation,
    kind=st.sampled_from(KINDS),
    subject=st.sampled_from(PEOPLE),
    id=st.sampled_from(NAMES),
    at=st.sampled_from([NOW - 10, NOW - 5, NOW]),
    until=st.sampled_from([NOW - 1, NOW, NOW + 1, inf]),
).map(lambda made: replace(made, id=made.id if made.kind in ("session", "token") else ""))
credentials = st.builds(
    Credential,
    subjects=st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=3).map(tuple),
    issued_at=st.sampled_from([None, NOW - 10, NOW - 7, NOW]),
    sid=st.sampled_from([None, "s", "t"]),
    jti=st.sampled_from([None, "s", "t"]),
    digest=st.sampled_from(["s", "t", "u"]),
)
workload = Workload(id=WEB.id, trust_domain="example.org", path="/web", verified_by="source_principal")
identities = st.builds(
    Identity,
    workload=st.sampled_from([None, workload]),
    credentials=st.lists(credentials, max_size=2).map(tuple),
)


def outcome(work: Callable[[], None]) -> type[Refused] | None:
    try:
        work()
    except Refused as refused:
        return type(refused)
    return None


def oracle(entries: list[Revocation], identity: Identity) -> type[Refused] | None:
    """One revocation after the other, one token after the other."""
    good = [entry for entry in entries if entry.until > NOW]

    def hits(entry: Revocation, token: Credential) -> bool:
        match entry.kind:
            case "block" | "device" | "devices":
                return False
            case "tokens":
                return entry.subject in token.subjects and (token.issued_at is None or token.issued_at <= entry.at)
            case "session":
                return (entry.subject.issuer, entry.id) == (token.subjects[0].issuer, token.sid)
            case "token":
                names = (token.jti, DIGEST_PREFIX + token.digest)
                return entry.subject.issuer == token.subjects[0].issuer and entry.id in names

    everybody = {subject for token in identity.credentials for subject in token.subjects}
    if identity.workload is not None:
        everybody.add(Subject("", identity.workload.id))
    if any(entry.kind == "block" and entry.subject in everybody for entry in good):
        return SubjectBlocked
    if any(hits(entry, token) for entry in good for token in identity.credentials):
        return TokenRevoked
    return None


def by_key(entries: list[Revocation]) -> list[Revocation]:
    return list({entry.key: entry for entry in entries}.values())


@given(entries=st.lists(revocations, max_size=6).map(by_key), identity=identities)
def test_the_index_refuses_whom_a_plain_reading_refuses(entries: list[Revocation], identity: Identity) -> None:
    assert outcome(lambda: Revocations(entries).check(identity, now=NOW)) is oracle(entries, identity)


@given(entries=st.lists(revocations, max_size=6).map(by_key), identity=identities)
def test_of_whom_nothing_is_named_nothing_is_ever_refused(entries: list[Revocation], identity: Identity) -> None:
    known = Revocations(entries)
    refused = [outcome(lambda now=now: known.check(identity, now=now)) for now in (-inf, NOW, inf)]  # type: ignore[misc]  # lambda of a loop
    assert known.names(identity) or refused == [None, None, None]


@given(
    before=st.lists(revocations, max_size=6).map(by_key),
    put=st.lists(revocations, max_size=3).map(by_key),
    withdrawn=st.lists(revocations.map(lambda entry: entry.key), max_size=3, unique=True),
    identity=identities,
)
def test_changing_the_index_is_building_it_anew(
    before: list[Revocation], put: list[Revocation], withdrawn: list[Any], identity: Identity
) -> None:
    first = Revocations(before)
    changed = first.changed(put, withdrawn)
    left = {entry.key: entry for entry in before if entry.key not in withdrawn} | {entry.key: entry for entry in put}
    assert outcome(lambda: changed.check(identity, now=NOW)) is oracle(list(left.values()), identity)
    assert outcome(lambda: first.check(identity, now=NOW)) is oracle(before, identity)
    assert sum(changed.counts.values()) == len(left)


@given(entries=st.lists(revocations, max_size=6).map(by_key), identity=identities)
def test_forgetting_what_has_ended_changes_no_outcome(entries: list[Revocation], identity: Identity) -> None:
    swept = Revocations(entries).without_ended(NOW)
    assert outcome(lambda: swept.check(identity, now=NOW)) is oracle(entries, identity)
    assert sum(swept.counts.values()) == sum(entry.until > NOW for entry in entries)


@given(entries=st.lists(revocations, max_size=6).map(by_key), more=revocations, identity=identities)
def test_one_revocation_more_never_lets_anybody_in(
    entries: list[Revocation], more: Revocation, identity: Identity
) -> None:
    before = Revocations(entries)
    old = {entry.key: entry for entry in entries}.get(more.key)
    put = more if old is None else more.widened(old, now=NOW)
    if outcome(lambda: before.check(identity, now=NOW)) is not None:
        assert outcome(lambda: before.changed([put], []).check(identity, now=NOW)) is not None


@given(one=revocations, other=revocations)
def test_what_is_widened_covers_both(one: Revocation, other: Revocation) -> None:
    other = replace(one, at=other.at, until=other.until)
    both = one.widened(other, now=NOW)
    for part in (one, other):
        if part.until > NOW:
            assert both.at >= part.at
            assert both.until >= part.until
    assert one.widened(replace(other, until=NOW), now=NOW) == one


def test_blocking_beats_the_word_of_a_revoked_token() -> None:
    entries = [Revocation(kind=kind, subject=PEOPLE[0], at=NOW) for kind in ("tokens", "block")]
    alice = Identity(credentials=(Credential(subjects=PEOPLE[:1]),))
    with pytest.raises(SubjectBlocked, match="the subject of the token is blocked"):
        Revocations(entries).check(alice, now=NOW)
    with pytest.raises(TokenRevoked, match="was issued before its subject's tokens were revoked"):
        Revocations(entries[:1]).check(alice, now=NOW)


def test_messages_say_by_what_and_quote_nothing() -> None:
    token = Credential(subjects=PEOPLE, sid="s", jti="t", digest="d", issued_at=NOW)
    said = {}
    for kind, id_ in (("session", "s"), ("token", "t"), ("token", DIGEST_PREFIX + "d")):
        made: Kind = "session" if kind == "session" else "token"
        index = Revocations([Revocation(kind=made, subject=PEOPLE[0], id=id_, at=NOW)])
        with pytest.raises(TokenRevoked) as refused:
            index.check(Identity(credentials=(token,)), now=NOW)
        said[id_] = str(refused.value)
    assert said == {
        "s": "revocations: the session of the token is revoked",
        "t": "revocations: the token is revoked, by its `jti`",
        "sha256:d": "revocations: the token is revoked, by its digest",
    }
    for subject, identity, who in (
        (WEB, Identity(workload=workload), "the workload"),
        (PEOPLE[1], Identity(credentials=(token,)), "an actor of the token"),
    ):
        index = Revocations([Revocation(kind="block", subject=subject, at=NOW)])
        with pytest.raises(SubjectBlocked, match=f"^revocations: {who} is blocked$"):
            index.check(identity, now=NOW)


def test_everybody_in_the_chain_of_actors_is_a_subject() -> None:
    actor = {"sub": "agent", "act": {"sub": WEB.id, "iss": OTHER, "act": {"sub": "c", "iss": OTHER}}}
    assert subjects(MappingProxyType(actor), issuer=IDP) == (
        Subject(IDP, "agent"),
        Subject(OTHER, WEB.id),
        WEB,
        Subject(OTHER, "c"),
    )
    assert subjects(None, issuer=IDP) == ()


SOURCE = JwtSource.model_validate(
    {"name": "idp", "issuer": IDP, "audiences": ["shop"], "jwks": "-", "from": ["authorization"]}
)


def test_a_token_can_be_revoked_by_all_that_it_says() -> None:
    claims: dict[str, Any] = {"iss": IDP, "aud": "shop", "sub": "a", "exp": 2000}
    assert verified(claims, SOURCE, token_hash="d").credential == Credential(
        subjects=PEOPLE[:1], digest="d", in_authorization=True
    )
    more = {**claims, "iat": 900.5, "sid": "s", "jti": "t", "act": {"sub": "agent"}}
    assert verified(json.loads(json.dumps(more)), SOURCE, token_hash="d").credential == Credential(
        subjects=(PEOPLE[0], Subject(IDP, "agent")),
        issued_at=900.5,
        sid="s",
        jti="t",
        digest="d",
        in_authorization=True,
    )


@pytest.mark.parametrize("jti", [7, "", None, ["t"]])
def test_a_jti_that_is_no_text_is_refused_since_nobody_could_revoke_it(jti: object) -> None:
    with pytest.raises(InvalidCredential, match="`jti` is no text"):
        verified({"iss": IDP, "aud": "shop", "sub": "a", "exp": 2000, "jti": jti}, SOURCE, token_hash="d")


def test_an_identity_rests_on_every_token_that_came_along(issuer: Issuer) -> None:
    source = {
        "name": "idp",
        "issuer": issuing.ISSUER,
        "audiences": [issuing.AUDIENCE],
        "jwks": "-",
        "from": ["authorization", "cookie:session"],
    }
    svid = {
        "sources": ["jwt_svid"],
        "jwt_svid": {"from": ["header:x-svid"], "audiences": ["us"], "bundles": {"a.org": "-"}},
    }
    settings = IdentitySettings.model_validate({"users": [source], "workload": svid})
    key = next(source.name for source in settings.workload.keys)
    resolver = Resolver(
        settings, ClientSettings(), {"idp": issuer.jwks, key: issuer.jwks.replace('"sig"', '"jwt-svid"')}
    )
    headers = {
        "authorization": f"Bearer {issuer.token(jti='1')}",
        "cookie": f"session={issuer.token(jti='2', sid='s')}",
        "x-svid": issuer.token(aud="us", iss=None, sub="spiffe://a.org/web", jti="3"),
    }
    request = decode(check_request(host="a.example", path="/", headers=headers), STRICT)
    identity = resolver.identify(request, now=issuing.NOW)
    assert isinstance(identity, Identity)
    assert [(token.jti, token.sid, token.in_authorization) for token in identity.credentials] == [
        ("3", None, False),
        ("1", None, True),
        ("2", "s", False),
    ]
    assert identity.credentials[0].subjects == (Subject("", "spiffe://a.org/web"),)
    assert len({token.digest for token in identity.credentials}) == 3
    for entry in (
        Revocation(kind="token", subject=Subject(issuing.ISSUER, "u1"), id="2", at=issuing.NOW),
        Revocation(kind="session", subject=Subject(issuing.ISSUER, "u1"), id="s", at=issuing.NOW),
        Revocation(kind="token", subject=Subject("", "spiffe://a.org/web"), id="3", at=issuing.NOW),
    ):
        with pytest.raises(TokenRevoked) as refused:
            Revocations([entry]).check(identity, now=issuing.NOW)
        assert refused.value.oauth_error is None, "that is for the Authorization header"


def test_every_user_has_a_credential_of_its_own_subject() -> None:
    user = User(sub="a", iss=IDP)
    made = verified({"iss": IDP, "aud": "shop", "sub": "a", "exp": 2000}, SOURCE, token_hash="d")
    assert (made.user.subject, made.credential.subjects[0]) == (user.subject, user.subject)


def test_a_device_is_revoked_by_itself_or_with_all_that_were_proven_on_until_then() -> None:
    alice, bob, elsewhere = PEOPLE[:3]
    one = Revocations([Revocation(kind="device", subject=alice, id="d1", at=NOW, until=NOW + 100)])
    assert one.has_device("d1", alice, proven_at=NOW + 50, now=NOW + 50), "proving on it again brings it not back"
    assert one.has_device("d1", bob, proven_at=NOW, now=NOW), "a device that is lost is lost for all"
    assert one.has_device("d1", elsewhere, proven_at=NOW, now=NOW), "also for people of another issuer"
    assert not one.has_device("d2", alice, proven_at=NOW, now=NOW)
    assert not one.has_device("d1", alice, proven_at=NOW, now=NOW + 100)
    every = Revocations([Revocation(kind="devices", subject=alice, at=NOW)])
    assert every.has_device("d1", alice, proven_at=NOW, now=NOW + 5)
    assert not every.has_device("d1", alice, proven_at=NOW + 1, now=NOW + 5)
    assert not every.has_device("d1", bob, proven_at=NOW, now=NOW + 5)
    assert not Revocations().has_device("d1", alice, proven_at=NOW, now=NOW)
