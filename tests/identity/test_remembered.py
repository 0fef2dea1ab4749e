"""What is remembered of tokens: within bounds, under the whole token, and no longer than its issuer, its keys and its
time say. That a reload forgets it is shown where a server runs."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from identity.checks import build_request, identified
from identity.issuer import AUDIENCE, ISSUER, NOW, Issuer
from identity.workload_tokens import ACCOUNTS, BUNDLE_NAME, SVIDS, account_token, bearer, bundle, known, resolver, svid

from extauthz.errors import InvalidCredential
from extauthz.identity.claims import VerifiedToken
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.introspection import CACHED_ANSWERS
from extauthz.identity.lookups import Answers, Introspect, Introspected
from extauthz.identity.remembered import Remembered
from extauthz.identity.resolver import Resolver
from extauthz.identity.tokens import Verifier
from extauthz.identity.workload_token_config import KUBERNETES
from extauthz.identity.workload_tokens import CACHED_TOKENS
from extauthz.values.identity import Identity

USER = {"name": "idp", "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": "a", "algorithms": ["ES256", "EdDSA"]}
PARTNER = {**USER, "name": "partner", "issuer": "https://partner.example"}

Step = tuple[str, int]
steps = st.lists(st.tuples(st.sampled_from(["put", "get", "without"]), st.integers(0, 6)), max_size=60)


@given(most=st.integers(1, 4), taken=steps)
def test_nothing_is_found_that_was_not_put_there_and_the_longest_unused_goes_first(
    most: int, taken: list[Step]
) -> None:
    memory: Remembered[int, tuple[int, int]] = Remembered(most)
    model: OrderedDict[int, tuple[int, int]] = OrderedDict()
    for number, (step, key) in enumerate(taken):
        if step == "put":
            memory.put(key, (key, number))
            model[key] = (key, number)
            model.move_to_end(key)
            if len(model) > most:
                model.popitem(last=False)
        elif step == "get":
            assert memory.get(key) == model.get(key)
            if key in model and len(model) * 2 > most:  # else it does not matter yet who was used when
                model.move_to_end(key)
        else:
            before = memory
            memory = memory.without(lambda value, key=key: value[0] == key)  # type: ignore[misc]  # lambda of a loop
            assert before.get(key) == model.pop(key, None)
    assert {key: value for key in range(7) if (value := memory.get(key)) is not None} == dict(model)


def users(*sources: Mapping[str, object]) -> IdentitySettings:
    return IdentitySettings.model_validate({"users": sources})


@pytest.mark.parametrize(
    ("read", "elsewhere"), [("cookie:session", "authorization"), ("authorization", "cookie:session")]
)
def test_what_is_known_at_one_place_is_not_at_another(issuer: Issuer, read: str, elsewhere: str) -> None:
    tokens, token = Verifier(users({**USER, "from": [read]}).users, {"idp": issuer.jwks}), issuer.token()
    assert isinstance(tokens.verify(token, place=read, now=NOW), VerifiedToken)
    with pytest.raises(InvalidCredential, match="not of an issuer whose tokens are read here"):
        tokens.verify(token, place=elsewhere, now=NOW)


def test_other_keys_of_an_issuer_end_what_its_old_ones_verified_and_nothing_else(issuer: Issuer) -> None:
    settings = users(USER, PARTNER)
    before = Verifier(settings.users, {"idp": issuer.jwks, "partner": issuer.jwks})
    own, others = issuer.token(), issuer.token(iss="https://partner.example")
    remembered = [before.verify(token, place="authorization", now=NOW) for token in (own, others)]
    rotated = Issuer(keys={"new": ec.generate_private_key(ec.SECP256R1())}, algorithms={"new": "ES256"})
    after = before.with_keys("idp", settings.keys[0].read(rotated.jwks))
    with pytest.raises(InvalidCredential, match="fit no key of the issuer"):
        after.verify(own, place="authorization", now=NOW)
    assert after.verify(others, place="authorization", now=NOW) is remembered[1]
    # A Check on its way has begun with the old keys; the new verifier has not changed under its hands.
    assert before.verify(own, place="authorization", now=NOW) is remembered[0]
    # The same set once more is other keys, too: what they verify is verified anew.
    again = before.with_keys("idp", settings.keys[0].read(issuer.jwks)).verify(own, place="authorization", now=NOW)
    assert again == remembered[0]
    assert again is not remembered[0]


@pytest.fixture(params=["svid", "account"])
def workloads(request: pytest.FixtureRequest, issuer: Issuer) -> tuple[Resolver, Callable[..., str]]:
    """Who reads tokens of workloads, and who makes them."""
    if request.param == "svid":
        return resolver(SVIDS, {BUNDLE_NAME: bundle(issuer)}), lambda **claims: svid(issuer, **claims)
    return resolver(ACCOUNTS, {KUBERNETES: issuer.jwks}), lambda **claims: account_token(issuer, "ec", **claims)


def test_tokens_of_workloads_are_remembered_within_bounds(workloads: tuple[Resolver, Callable[..., str]]) -> None:
    here, make = workloads
    kept, dropped = make(n=-1), make(n=-2)
    first_kept, first_dropped = workload_objects(here, [kept, dropped])
    for number, token in enumerate(make(n=number) for number in range(CACHED_TOKENS - 1)):
        list(workload_objects(here, [token, kept] if number % 1000 == 0 else [token]))
    after_kept, after_dropped = workload_objects(here, [kept, dropped])
    assert after_kept is first_kept
    assert after_dropped is not first_dropped
    assert after_dropped == first_dropped


def workload_objects(here: Resolver, tokens: list[str]) -> Iterator[object]:
    """The workload of each, which is the very same one where the token was known."""
    for token in tokens:
        identity = known(here, bearer(token))
        assert isinstance(identity, Identity)
        yield identity.workload


def test_a_token_of_a_workload_is_known_by_all_of_its_text(workloads: tuple[Resolver, Callable[..., str]]) -> None:
    here, make = workloads
    token = make()
    assert isinstance(known(here, bearer(token)), Identity)
    spoilt = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    assert known(here, bearer(spoilt)) is InvalidCredential
    assert isinstance(known(here, bearer(token)), Identity)


def test_answers_of_an_issuer_are_remembered_within_bounds() -> None:
    introspection = {"url": f"{ISSUER}/introspect", "client_id": "c", "client_secret_file": "s"}
    here = Resolver(users({"name": "asked", "issuer": ISSUER, "introspection": introspection}), ClientSettings(), {})
    answer = Introspected(response={"active": True, "token_type": "Bearer", "sub": "u1"}, asked_at=NOW)

    def learn(token: str) -> None:
        answers: Answers = {Introspect(source="asked", token=token): answer}
        assert isinstance(here.identify(build_request(bearer(token)), now=NOW, answers=answers), Identity)

    for token in ("kept", "dropped", *(f"token-{number}" for number in range(CACHED_ANSWERS - 1))):
        learn(token)
        identified(here, build_request(bearer("kept")))
    assert not isinstance(here.identify(build_request(bearer("dropped")), now=NOW), Identity)
