"""Nobody is who presents nothing: laws over every mixture of credentials, good and bad, at every place."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from identity.checks import build_request, identified
from identity.issuer import AUDIENCE, ISSUER, NOW, Issuer, good_claims
from identity.possession import Client, new_client

from extauthz.errors import IdentityConflict, InvalidCredential, Refused
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.lookups import Answer, Awaiting, Done, Introspect, Introspected, Lookup, UseProof
from extauthz.identity.resolver import Resolver
from extauthz.policy.decide import decide
from extauthz.policy.load import load_text
from extauthz.values.decisions import Allow, Deny
from extauthz.values.grants import NO_FACTS
from extauthz.values.identity import Identity, Subject
from extauthz.values.request import RequestView

JWT_AUTHN = "envoy.filters.http.jwt_authn"
SOURCES: list[dict[str, Any]] = [
    {
        "name": "idp",
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "jwks": "jwks.json",
        "from": ["authorization", "cookie:session"],
    },
    {"name": "edge", "issuer": ISSUER, "from": [f"metadata:{JWT_AUTHN}/payload"]},
    {
        "name": "asked",
        "issuer": ISSUER,
        "from": ["cookie:opaque"],
        "introspection": {"url": "https://idp.example.com/i", "client_id": "c", "client_secret_file": "s"},
    },
]
CLIENT = new_client()
ACTIVE = {"active": True, "token_type": "Bearer", "exp": NOW + 600}
OPAQUE = {"opaque-u1": {**ACTIVE, "sub": "u1"}, "opaque-u2": {**ACTIVE, "sub": "u2"}}


@dataclass(frozen=True)
class World:
    """A resolver, and tokens that it takes; the issuer knows two opaque ones."""

    resolver: Resolver
    tokens: Mapping[str, str]
    bound: Mapping[str, str]
    client: Client = CLIENT

    def identity(self, request: RequestView) -> Identity:
        """Who makes the request; whoever is asked answers."""
        answers: dict[Lookup, Answer] = {}
        known = self.resolver.identify(request, now=NOW, answers=answers)
        while isinstance(known, Awaiting):
            answers |= {lookup: _answer(lookup) for lookup in known.lookups}
            known = self.resolver.identify(request, now=NOW, answers=answers)
        return known

    def outcome(self, sent: Mapping[str, str]) -> Subject | type[Refused] | None:
        """The subject of what is sent by place, `None` for nobody, or the class of the refusal."""
        try:
            return self.identity(self.request(sent)).subject
        except Refused as refused:
            return type(refused)

    def request(self, sent: Mapping[str, str]) -> RequestView:
        """A request with these credentials: each is a valid one of a user, or any text."""
        headers: dict[str, str] = {}
        cookies = []
        metadata: dict[str, Any] = {}
        for place, what in sent.items():
            if place == "bearer":
                headers["authorization"] = f"Bearer {self.tokens.get(what, what)}"
            elif place == "dpop":
                token = self.bound.get(what, what)
                headers |= {"authorization": f"DPoP {token}", "dpop": self.client.proof(token, now=NOW)}
            elif place == "session":
                cookies.append(f"session={self.tokens.get(what, what)}")
            elif place == "opaque":
                cookies.append(f"opaque={f'opaque-{what}' if what in self.tokens else what}")
            else:
                metadata[JWT_AUTHN] = {"payload": good_claims(sub=what) if what in self.tokens else {"sub": what}}
        if cookies:
            headers["cookie"] = "; ".join(cookies)
        return build_request(headers, metadata=metadata)


def _answer(lookup: Lookup) -> Answer:
    if isinstance(lookup, Introspect):
        return Introspected(response=OPAQUE.get(lookup.token, {"active": False}), asked_at=NOW)
    assert isinstance(lookup, UseProof)
    return Done()


@pytest.fixture(scope="module")
def world(issuer: Issuer) -> World:
    settings = IdentitySettings.model_validate({"users": SOURCES})
    users = ("u1", "u2")
    return World(
        resolver=Resolver(settings, ClientSettings(), {"idp": issuer.jwks}),
        tokens={sub: issuer.token(sub=sub) for sub in users},
        bound={sub: issuer.token(sub=sub, cnf={"jkt": CLIENT.thumbprint}) for sub in users},
    )


PLACES = ("bearer", "dpop", "session", "opaque", "metadata")
# What is no token by its characters may have another meaning in a header or in a cookie.
BAD = st.sampled_from(["", "x", "a.b.c", "none", "eyJhbGciOiJub25lIn0.e30.", "u3"])


def mixtures(what: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, str]]:
    """Credentials by place; the Authorization header has one scheme."""
    return st.dictionaries(st.sampled_from(PLACES), what).filter(lambda sent: not {"bearer", "dpop"} <= set(sent))


GOOD = mixtures(st.just("u1"))


@given(sent=mixtures(st.sampled_from(["u1", "u2"]) | BAD))
def test_whoever_presents_anything_is_somebody_or_refused(world: World, sent: dict[str, str]) -> None:
    assert (world.outcome(sent) is None) == (not sent)


@given(sent=GOOD, place=st.sampled_from(PLACES), bad=BAD)
def test_no_invalid_credential_is_ever_overlooked(world: World, sent: dict[str, str], place: str, bad: str) -> None:
    others = {one: what for one, what in sent.items() if {one, place} != {"bearer", "dpop"}}
    assert world.outcome({**others, place: bad}) is InvalidCredential


@given(sent=GOOD)
def test_any_good_credential_alone_or_with_others_names_the_same_user(world: World, sent: dict[str, str]) -> None:
    assert world.outcome(sent) == (Subject(ISSUER, "u1") if sent else None)


@given(sent=mixtures(st.sampled_from(["u1", "u2"])))
def test_two_users_in_one_request_are_nobody_and_refused(world: World, sent: dict[str, str]) -> None:
    if len(set(sent.values())) == 2:
        assert world.outcome(sent) is IdentityConflict


@given(sent=mixtures(st.sampled_from(["u1", "u2"]) | BAD), kept=st.sets(st.sampled_from(PLACES)))
def test_taking_credentials_away_never_makes_somebody_else(world: World, sent: dict[str, str], kept: set[str]) -> None:
    whole = world.outcome(sent)
    part = world.outcome({place: what for place, what in sent.items() if place in kept})
    if isinstance(whole, Subject):
        assert part in (whole, None)
    if isinstance(part, type):
        assert isinstance(whole, type), "what is refused in part is refused as a whole"


@given(sent=mixtures(st.just("u1")), kept=st.sets(st.sampled_from(PLACES)))
def test_taking_credentials_away_never_gives_more_to_hold(world: World, sent: dict[str, str], kept: set[str]) -> None:
    whole = world.identity(world.request(sent))
    part = world.identity(world.request({place: what for place, what in sent.items() if place in kept}))
    assert part.holders <= whole.holders
    if part.user is None:
        assert part.session is None


@given(cut=st.integers(0, 400), put=st.sampled_from(["", "A", ".", "=", "\x00", "é"]))
def test_a_token_that_was_changed_anywhere_is_no_token(world: World, cut: int, put: str) -> None:
    token = world.tokens["u1"]
    changed = token[: cut % len(token)] + put + token[cut % len(token) + 1 :]
    for place in ("bearer", "session"):
        expected = Subject(ISSUER, "u1") if changed == token else InvalidCredential
        assert world.outcome({place: changed}) == expected


POLICY = load_text(
    """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: p}
spec:
  rules:
    - name: nobody
      when: "!has(user.sub) && !has(user.iss) && !has(user.groups) && !has(user.actor) && !has(session.id)"
      effect: allow
    - {name: nobody-has-a-name, paths: ["/named"], when: user.sub != "root", effect: deny}
"""
)


@pytest.mark.parametrize(
    "sent", [{}, {"bearer": "u1"}, {"session": "u1"}, {"metadata": "u1"}, {"opaque": "u1"}], ids=str
)
def test_conditions_see_that_nobody_is_absent(world: World, sent: dict[str, str]) -> None:
    request = world.request(sent)
    identity = world.identity(request)
    evaluation = decide(
        POLICY.candidates(request, identity),
        request=request,
        identity=identity,
        facts=NO_FACTS,
        now=NOW,
        binding_keys=(b"k" * 32,),
    )
    assert isinstance(evaluation.decision, Deny if sent else Allow)


def test_a_guard_that_asks_nobody_for_a_name_denies(world: World) -> None:
    # Absence is an error, not a value: nobody slips past `user.sub != "root"`.
    request = build_request({}, path="/named", segments=("named",), raw_path="/named")
    identity = identified(world.resolver, request)
    evaluation = decide(
        POLICY.candidates(request, identity),
        request=request,
        identity=identity,
        facts=NO_FACTS,
        now=NOW,
        binding_keys=(b"k" * 32,),
    )
    assert isinstance(evaluation.decision, Deny)
    assert evaluation.decision.reason == "policy-error"
