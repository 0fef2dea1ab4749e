from base64 import urlsafe_b64encode
from typing import Any

import pytest
from identity.authority import copied, root
from identity.checks import build_request, identified
from identity.issuer import AUDIENCE, ISSUER, NOW, Issuer

from extauthz.errors import ConfigurationError, IdentityConflict, InvalidCredential, MalformedRequest, Refused
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.resolver import Resolver
from extauthz.values.identity import HOLDER_COOKIE, Identity, Subject
from extauthz.values.request import Peer, RequestView

WEB = "spiffe://prod.example.org/ns/shop/sa/web"
HASH = "ab" * 32
SECRET = "s" * 43

IDP: dict[str, Any] = {
    "name": "idp",
    "issuer": ISSUER,
    "audiences": [AUDIENCE],
    "jwks": "jwks.json",
    "from": ["authorization", "cookie:session"],
}


def resolver(issuer: Issuer, *sources: dict[str, Any], workload: dict[str, Any] | None = None) -> Resolver:
    settings = IdentitySettings.model_validate({"users": sources, "workload": workload or {}})
    return Resolver(settings, ClientSettings(), {source["name"]: issuer.jwks for source in sources})


def identify(resolver: Resolver, **headers: str | list[str]) -> Identity:
    return identified(resolver, build_request(headers))


def outcome(resolver: Resolver, **headers: str | list[str]) -> str | type[Refused] | None:
    """The user's `sub`, `None` for nobody, or the class of the refusal."""
    try:
        identity = identify(resolver, **headers)
    except Refused as refused:
        return type(refused)
    return None if identity.user is None else identity.user.sub


def test_a_request_without_anything_has_only_an_address(issuer: Issuer) -> None:
    identity = identify(resolver(issuer, IDP))
    assert (identity.workload, identity.user, identity.session, identity.subject) == (None, None, None, None)
    assert identity.client_ip == "192.0.2.1"
    (holder,) = identity.holders
    assert holder.startswith("peer:")


def test_a_token_in_the_header_or_in_the_cookie_is_a_user(issuer: Issuer) -> None:
    token = issuer.token()
    users = resolver(issuer, IDP)
    by_header = identify(users, authorization=f"Bearer {token}").user
    by_cookie = identify(users, cookie=f"a=b; session={token}").user
    assert by_header is not None
    assert by_cookie is not None
    assert (by_header.cookie, by_cookie.cookie) == (False, True)
    assert by_header.subject == by_cookie.subject == Subject(ISSUER, "u1")


def test_the_user_is_the_subject_else_the_workload(issuer: Issuer) -> None:
    users = resolver(issuer, IDP)
    request = build_request({"authorization": f"Bearer {issuer.token()}"}, principal=WEB)
    assert identified(users, request).subject == Subject(ISSUER, "u1")
    assert identified(users, build_request(principal=WEB)).subject == Subject("", WEB)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Bearer {token}", "u1"),
        ("bearer {token}", "u1"),
        ("BEARER   {token}", "u1"),
        # other schemes are not ours
        ("Basic dTpw", None),
        ("Negotiate abc==", None),
        ('Digest username="u", realm="bearer x"', None),
        ("DPoPx {token}", None),
        ("Bearerx {token}", None),
        ("", None),
        # presented and not valid is never anonymous
        ("DPoP {token}", InvalidCredential),
        ("Bearer", InvalidCredential),
        ("Bearer ", InvalidCredential),
        ("Bearer opaque-token", InvalidCredential),
        ("Bearer\t{token}", InvalidCredential),
        (" Bearer {token}", InvalidCredential),
        ("Bearer {token} ", InvalidCredential),
        ("Bearer {token} {token}", InvalidCredential),
        ("Bearer {token},Bearer {token}", InvalidCredential),
        ("Bearer {token}, Basic dTpw", InvalidCredential),
        ("Bearer, {token}", InvalidCredential),
        # two readings
        ("Basic dTpw,Bearer {token}", MalformedRequest),
        ("Basic dTpw , bearer\t{token}", MalformedRequest),
        ([], MalformedRequest),
        (["Bearer {token}", "Bearer {token}"], MalformedRequest),
        (["Basic dTpw", "Bearer {token}"], MalformedRequest),
    ],
)
def test_the_authorization_header(issuer: Issuer, value: str | list[str], expected: object) -> None:
    token = issuer.token()
    sent = value.format(token=token) if isinstance(value, str) else [item.format(token=token) for item in value]
    assert outcome(resolver(issuer, IDP), authorization=sent) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("session={token}", "u1"),
        ("a=b; session={token}; c=d", "u1"),
        ("other={token}", None),
        ("session=", InvalidCredential),
        ("session=abc", InvalidCredential),
        ('session="{token}"', InvalidCredential),
        ("session={token}; session={token}", MalformedRequest),
        ("session", MalformedRequest),
    ],
)
def test_the_session_cookie(issuer: Issuer, value: str, expected: object) -> None:
    assert outcome(resolver(issuer, IDP), cookie=value.format(token=issuer.token())) == expected


def test_without_user_sources_no_credential_is_looked_at(issuer: Issuer) -> None:
    nobody = resolver(issuer)
    assert outcome(nobody, authorization="Bearer nonsense", cookie="session=nonsense") is None
    assert outcome(nobody, authorization=["Bearer a", "Bearer b"]) is None


def test_a_place_that_no_source_reads_is_not_looked_at(issuer: Issuer) -> None:
    only_cookie = resolver(issuer, {**IDP, "from": ["cookie:session"]})
    assert outcome(only_cookie, authorization="Bearer nonsense") is None
    only_header = resolver(issuer, {**IDP, "from": ["authorization"]})
    assert outcome(only_header, cookie="session=nonsense; session=again") is None


def test_the_issuer_of_a_token_must_be_read_at_its_place(issuer: Issuer) -> None:
    partner = {**IDP, "name": "partner", "issuer": "https://partner.example", "from": ["cookie:partner"]}
    both = resolver(issuer, IDP, partner)
    token = issuer.token(iss="https://partner.example")
    assert outcome(both, cookie=f"partner={token}") == "u1"
    assert outcome(both, cookie=f"session={token}") is InvalidCredential
    assert outcome(both, authorization=f"Bearer {token}") is InvalidCredential
    unknown = issuer.token(iss="https://unknown.example")
    assert outcome(both, authorization=f"Bearer {unknown}") is InvalidCredential


def test_two_tokens_must_name_one_subject(issuer: Issuer) -> None:
    partner = {**IDP, "name": "partner", "issuer": "https://partner.example", "from": ["cookie:partner"]}
    both = resolver(issuer, IDP, partner)
    mine, other = issuer.token(), issuer.token(sub="u2")
    assert outcome(both, authorization=f"Bearer {mine}", cookie=f"session={issuer.token(n=2)}") == "u1"
    assert outcome(both, authorization=f"Bearer {mine}", cookie=f"session={other}") is IdentityConflict
    # the same `sub` at two issuers is two subjects
    theirs = issuer.token(iss="https://partner.example")
    assert outcome(both, authorization=f"Bearer {mine}", cookie=f"partner={theirs}") is IdentityConflict
    assert outcome(both, cookie=f"session={mine}; partner={theirs}") is IdentityConflict


def test_of_two_tokens_both_must_be_valid(issuer: Issuer) -> None:
    users = resolver(issuer, IDP)
    good, expired = issuer.token(), issuer.token(exp=NOW)
    assert outcome(users, authorization=f"Bearer {good}", cookie=f"session={expired}") is InvalidCredential
    assert outcome(users, authorization=f"Bearer {expired}", cookie=f"session={good}") is InvalidCredential


def test_the_header_says_who_the_user_is_where_both_are_there(issuer: Issuer) -> None:
    header, cookie = issuer.token(groups=["a"]), issuer.token(groups=["b"])
    user = identify(resolver(issuer, IDP), authorization=f"Bearer {header}", cookie=f"session={cookie}").user
    assert user is not None
    assert (user.groups, user.cookie) == (("a",), False)


def session(users: Resolver, **headers: str) -> str:
    found = identify(users, **headers).session
    assert found is not None
    return found


def test_the_session_is_the_sid_else_the_cookie_else_the_token(issuer: Issuer) -> None:
    users = resolver(issuer, IDP)
    one, renewed = issuer.token(n=1), issuer.token(n=2)
    with_sid, renewed_with_sid = issuer.token(n=1, sid="s1"), issuer.token(n=2, sid="s1")
    by_token = session(users, authorization=f"Bearer {one}")
    by_cookie = session(users, cookie=f"session={one}")
    by_sid = session(users, authorization=f"Bearer {with_sid}")
    assert [text.partition(":")[0] for text in (by_token, by_cookie, by_sid)] == ["token", "cookie", "sid"]
    # a renewed token is a new session, unless it says that it is the same
    assert session(users, authorization=f"Bearer {renewed}") != by_token
    assert session(users, cookie=f"session={renewed}") != by_cookie
    assert session(users, authorization=f"Bearer {renewed_with_sid}") == by_sid
    assert session(users, cookie=f"session={renewed_with_sid}") == by_sid
    # beside a token in the header, the cookie tells the session
    assert session(users, authorization=f"Bearer {renewed}", cookie=f"session={one}") == by_cookie
    assert session(users, authorization=f"Bearer {with_sid}", cookie=f"session={one}") == by_sid


def test_the_same_sid_at_two_issuers_is_two_sessions(issuer: Issuer) -> None:
    partner = {**IDP, "name": "partner", "issuer": "https://partner.example", "from": ["authorization"]}
    both = resolver(issuer, IDP, partner)
    mine, theirs = issuer.token(sid="s"), issuer.token(sid="s", iss="https://partner.example")
    assert session(both, authorization=f"Bearer {mine}") != session(both, authorization=f"Bearer {theirs}")


def holders(users: Resolver, request: RequestView, kind: str) -> frozenset[str]:
    return frozenset(text for text in identified(users, request).holders if text.startswith(f"{kind}:"))


def test_the_holder_cookie_is_a_holder_if_this_server_can_have_set_it(issuer: Issuer) -> None:
    users = resolver(issuer)
    seen = {
        secret: holders(users, build_request({"cookie": f"{HOLDER_COOKIE}={secret}"}), "cookie")
        for secret in (SECRET, "t" * 43, "", "short", "x" * 129, "a" * 21 + "!", "ä" * 30)
    }
    assert [len(found) for found in seen.values()] == [1, 1, 0, 0, 0, 0, 0]
    assert seen[SECRET] != seen["t" * 43]
    (holder,) = seen[SECRET]
    assert SECRET not in holder
    assert holders(users, build_request({"cookie": f"{HOLDER_COOKIE.lower()}={SECRET}"}), "cookie") == frozenset()
    twice = build_request({"cookie": f"{HOLDER_COOKIE}={SECRET}; {HOLDER_COOKIE}={SECRET}"})
    with pytest.raises(MalformedRequest):
        users.identify(twice, now=NOW)


def test_workload_and_address_together_are_a_holder(issuer: Issuer) -> None:
    users = resolver(issuer)
    requests = [
        build_request(principal=WEB, ip="192.0.2.1"),
        build_request(principal=WEB, ip="192.0.2.2"),
        build_request(principal=WEB + "2", ip="192.0.2.1"),
        build_request(ip="192.0.2.1"),
    ]
    assert len({holders(users, request, "peer") for request in requests}) == 4
    assert holders(users, build_request(principal=WEB, ip="::ffff:192.0.2.1"), "peer") == holders(
        users, requests[0], "peer"
    )
    assert holders(users, build_request(principal=WEB, ip=""), "peer") == frozenset()


def test_a_certificate_is_a_holder_only_where_it_is_proven(issuer: Issuer) -> None:
    request = build_request({"x-forwarded-client-cert": f"Hash={HASH};URI={WEB}"})
    trusting = resolver(issuer, workload={"xfcc": {"without_principal": True}})
    assert holders(trusting, request, "cert") == {f"cert:{HASH}"}
    assert holders(resolver(issuer), request, "cert") == frozenset()


def test_the_certificate_of_a_trusted_proxy_is_held_by_nobody_behind_it() -> None:
    """Or a stolen token that comes by the same gateway would ride on the proof of its owner."""
    settings, certificate = IdentitySettings(), copied(root().leaf(WEB))
    direct = Resolver(settings, ClientSettings(), {})
    behind = Resolver(settings, ClientSettings(trusted_hops=1, xff="untouched"), {})
    by_gateway = [
        build_request({"x-forwarded-for": client}, principal=WEB, certificate=certificate)
        for client in ("198.51.100.1", "198.51.100.2")
    ]
    assert len(holders(direct, by_gateway[0], "cert")) == 1
    owner, thief = (identified(behind, request).holders for request in by_gateway)
    assert owner
    assert owner.isdisjoint(thief)


def test_a_token_bound_to_a_certificate_counts_only_beside_it(issuer: Issuer) -> None:
    # RFC 8705 section 3.1
    users = resolver(issuer, IDP, workload={"xfcc": {"without_principal": True}})
    untrusting = resolver(issuer, IDP)
    thumbprint = urlsafe_b64encode(bytes.fromhex(HASH)).rstrip(b"=").decode()
    token = issuer.token(cnf={"x5t#S256": thumbprint})
    mine = {"authorization": f"Bearer {token}", "x-forwarded-client-cert": f"Hash={HASH};URI={WEB}"}
    assert outcome(users, **mine) == "u1"
    assert outcome(untrusting, **mine) is InvalidCredential
    assert outcome(users, **mine | {"x-forwarded-client-cert": f"Hash={'cd' * 32};URI={WEB}"}) is InvalidCredential
    assert outcome(users, authorization=f"Bearer {token}") is InvalidCredential
    second = {"authorization": f"Bearer {issuer.token()}", "cookie": f"session={token}"}
    assert outcome(users, **second) is InvalidCredential


def test_a_tcp_check_has_a_workload_and_an_address(issuer: Issuer) -> None:
    identity = identified(resolver(issuer, IDP), RequestView(source=Peer(ip="192.0.2.1", principal=WEB)))
    assert identity.workload is not None
    assert (identity.workload.id, identity.user, identity.client_ip) == (WEB, None, "192.0.2.1")


def test_the_time_is_looked_at_on_every_request(issuer: Issuer) -> None:
    users = resolver(issuer, IDP)
    request = build_request({"authorization": f"Bearer {issuer.token(exp=NOW + 5)}"})
    assert identified(users, request).user is not None
    with pytest.raises(InvalidCredential):
        users.identify(request, now=NOW + 5)


def test_keys_must_be_there_for_each_source() -> None:
    settings = IdentitySettings.model_validate({"users": [IDP]})
    with pytest.raises(ConfigurationError, match="no keys were given for `idp`"):
        Resolver(settings, ClientSettings(), {})


def test_messages_never_hold_the_credential(issuer: Issuer) -> None:
    users = resolver(issuer, IDP)
    token = issuer.token(exp=NOW)
    for value in (f"Bearer {token}", f"Bearer {token}x", f"Bearer {token} x", f"Basic a,Bearer {token}"):
        with pytest.raises(Refused) as caught:
            identify(users, authorization=value)
        assert not any(part in str(caught.value) for part in token.split("."))
