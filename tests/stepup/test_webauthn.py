"""Registration and assertion with a software authenticator: what is good, and every part of it made wrong."""

import json
from base64 import urlsafe_b64decode
from dataclasses import replace
from typing import Any, get_args

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from stepup.authenticator import AT, ORIGIN, RP_ID, UP, UV, PrivateKey, SoftwareAuthenticator, b64
from webauthn.helpers.structs import AuthenticatorTransport

from extauthz.stepup.authenticators import (
    TRANSPORTS,
    USER_HANDLE_BYTES,
    Asserted,
    Authenticator,
    KnownAuthenticator,
    Registered,
    challenge_of,
)
from extauthz.stepup.relying_party import RelyingParty
from extauthz.stepup.webauthn import assertion_options, registration_options, verify_assertion, verify_registration
from extauthz.stepup.webauthn_answer import MAX_ANSWER, Ceremony, NotVerified, WebauthnFailure
from extauthz.values.decisions import UserVerification

US = RelyingParty(id=RP_ID, name="Example", origins=(ORIGIN,))
HANDLE = b"h" * USER_HANDLE_BYTES
CREATE, GET = challenge_of("ticket", "webauthn.create"), challenge_of("ticket", "webauthn.get")
MINE = SoftwareAuthenticator(key=ec.derive_private_key(7, ec.SECP256R1()))


def registered(
    answer: str, *, user_verification: UserVerification = "preferred", before: tuple[Authenticator, ...] = ()
) -> Registered:
    return verify_registration(
        answer,
        relying_party=US,
        challenge=CREATE,
        user_handle=HANDLE,
        registered=before,
        user_verification=user_verification,
    )


def authenticator_of(device: SoftwareAuthenticator) -> Authenticator:
    return registered(device.register(CREATE)).authenticator


def asserted(
    answer: str,
    *,
    device: SoftwareAuthenticator = MINE,
    mark: int = -1,
    user_verification: UserVerification = "preferred",
    known: tuple[KnownAuthenticator, ...] | None = None,
) -> Asserted:
    one = KnownAuthenticator(factor="f1", authenticator=authenticator_of(device), mark=mark)
    return verify_assertion(
        answer,
        relying_party=US,
        challenge=GET,
        known=(one,) if known is None else known,
        user_verification=user_verification,
    )


def refusal(work: Any) -> WebauthnFailure:
    with pytest.raises(NotVerified) as refused:
        work()
    assert refused.value.reason in get_args(WebauthnFailure)
    return refused.value.reason


def changed(answer: str, **response: Any) -> str:
    """The answer with other members in its response; `...` leaves one out."""
    document = json.loads(answer)
    members = {**document["response"], **response}
    document["response"] = {name: value for name, value in members.items() if value is not ...}
    return json.dumps(document)


def member(answer: str, name: str) -> bytes:
    text = json.loads(answer)["response"][name]
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


KEYS: dict[str, PrivateKey] = {
    "ES256": ec.derive_private_key(11, ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.from_private_bytes(b"e" * 32),
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
}


@pytest.mark.parametrize("algorithm", sorted(KEYS))
def test_what_is_registered_can_sign_in(algorithm: str) -> None:
    device = SoftwareAuthenticator(key=KEYS[algorithm])
    new = registered(device.register(CREATE))
    assert new.authenticator.credential_id == device.credential_id
    assert new.authenticator.user_handle == HANDLE
    assert new.authenticator.transports == ("usb", "nfc")
    assert asserted(device.sign_in(GET), device=device) == Asserted(factor="f1", mark=None, user_verified=True)


def test_what_is_kept_comes_back_as_it_was() -> None:
    kept = authenticator_of(MINE)
    assert Authenticator.from_text(kept.to_text()) == kept


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"id":"a","key":"","user":"","transports":[]}', "null"])
def test_what_was_not_kept_by_us_is_no_authenticator(text: str) -> None:
    assert refusal(lambda: Authenticator.from_text(text)) == "malformed"


def test_the_options_of_a_registration_exclude_what_is_registered() -> None:
    options = registration_options(
        US,
        user_name="alice",
        user_handle=HANDLE,
        challenge=CREATE,
        registered=[authenticator_of(MINE)],
        user_verification="required",
    )
    assert options["rp"] == {"id": RP_ID, "name": "Example"}
    assert options["user"] == {"id": b64(HANDLE), "name": "alice", "displayName": "alice"}
    assert options["challenge"] == b64(CREATE)
    assert options["attestation"] == "none"
    assert options["excludeCredentials"] == [
        {"id": b64(MINE.credential_id), "type": "public-key", "transports": ["usb", "nfc"]}
    ]
    assert options["authenticatorSelection"] == {
        "residentKey": "discouraged",
        "requireResidentKey": False,
        "userVerification": "required",
    }
    assert [one["alg"] for one in options["pubKeyCredParams"]] == [-7, -8, -257]


@pytest.mark.parametrize("user_verification", get_args(UserVerification))
def test_the_options_of_an_assertion_name_all_authenticators(user_verification: UserVerification) -> None:
    first, second = authenticator_of(MINE), authenticator_of(SoftwareAuthenticator(credential_id=b"d" * 16))
    options = assertion_options(US, challenge=GET, registered=[first, second], user_verification=user_verification)
    assert options["rpId"] == RP_ID
    assert options["challenge"] == b64(GET)
    assert options["userVerification"] == user_verification
    assert [one["id"] for one in options["allowCredentials"]] == [b64(b"c" * 32), b64(b"d" * 16)]


def test_each_ticket_and_ceremony_has_a_challenge_of_its_own() -> None:
    made = {challenge_of(ticket, ceremony) for ticket in ("a", "b") for ceremony in get_args(Ceremony)}
    assert len(made) == 4
    assert {len(one) for one in made} == {32}


def test_of_several_authenticators_the_one_that_signed_is_the_factor() -> None:
    devices = [SoftwareAuthenticator(credential_id=bytes([number]) * 16) for number in range(3)]
    known = tuple(
        KnownAuthenticator(factor=f"f{number}", authenticator=authenticator_of(device), mark=-1)
        for number, device in enumerate(devices)
    )
    for number, device in enumerate(devices):
        assert asserted(device.sign_in(GET), known=known).factor == f"f{number}"


TAMPERED: dict[str, tuple[dict[str, Any], WebauthnFailure]] = {
    "another origin": ({"origin": "https://evil.example.com"}, "wrong-origin"),
    "the origin with a final slash": ({"origin": f"{ORIGIN}/"}, "wrong-origin"),
    "the origin in capitals": ({"origin": ORIGIN.upper()}, "wrong-origin"),
    "an origin without https": ({"origin": ORIGIN.replace("https", "http")}, "wrong-origin"),
    "no origin": ({"said": {"origin": ...}}, "wrong-origin"),
    "another relying party": ({"rp_id": "evil.example.com"}, "wrong-relying-party"),
    "another challenge": ({"said": {"challenge": b64(b"x" * 32)}}, "wrong-challenge"),
    "a padded challenge": ({"said": {"challenge": b64(GET) + "="}}, "wrong-challenge"),
    "no challenge": ({"said": {"challenge": ...}}, "wrong-challenge"),
    "a challenge that is no text": ({"said": {"challenge": 1}}, "wrong-challenge"),
    "a challenge in other letters": ({"said": {"challenge": "\u00e9"}}, "wrong-challenge"),
    "nobody there": ({"flags": UV}, "user-not-present"),
    "a frame of another origin": ({"said": {"crossOrigin": True}}, "cross-origin"),
    "a frame, said oddly": ({"said": {"crossOrigin": 1}}, "cross-origin"),
    "the origin of the page around": ({"said": {"topOrigin": "https://evil.example.com"}}, "cross-origin"),
    "an unknown type": ({"ceremony": "payment.get"}, "wrong-type"),
    "half a letter": ({"said": {"challenge": "\ud800"}}, "wrong-challenge"),
    "no type": ({"said": {"type": ...}}, "wrong-type"),
}


@pytest.mark.parametrize("what", sorted(TAMPERED))
def test_an_assertion_that_says_anything_else_proves_nothing(what: str) -> None:
    changes, reason = TAMPERED[what]
    assert refusal(lambda: asserted(MINE.sign_in(GET, **changes))) == reason


@pytest.mark.parametrize("what", sorted(set(TAMPERED) - {"nobody there"}))
def test_a_registration_that_says_anything_else_brings_nothing(what: str) -> None:
    changes, reason = TAMPERED[what]
    assert refusal(lambda: registered(MINE.register(CREATE, **changes))) == reason


def test_a_registration_without_anybody_there_brings_nothing() -> None:
    assert refusal(lambda: registered(MINE.register(CREATE, flags=AT | UV))) == "user-not-present"


def test_the_answer_of_one_ceremony_is_none_of_the_other() -> None:
    assert refusal(lambda: asserted(MINE.sign_in(GET, ceremony="webauthn.create"))) == "wrong-type"
    assert refusal(lambda: registered(MINE.register(CREATE, ceremony="webauthn.get"))) == "wrong-type"
    assert refusal(lambda: asserted(MINE.sign_in(CREATE))) == "wrong-challenge"


def test_cross_origin_may_be_left_unsaid() -> None:
    assert asserted(MINE.sign_in(GET, said={"crossOrigin": ...})).factor == "f1"


def test_the_user_is_verified_where_the_rule_says_so() -> None:
    touched = MINE.sign_in(GET, flags=UP)
    assert not asserted(touched).user_verified
    assert asserted(touched, user_verification="discouraged").factor == "f1"
    assert refusal(lambda: asserted(touched, user_verification="required")) == "user-not-verified"
    assert asserted(MINE.sign_in(GET), user_verification="required").user_verified
    without = MINE.register(CREATE, flags=UP | AT)
    assert not registered(without).user_verified
    assert refusal(lambda: registered(without, user_verification="required")) == "user-not-verified"


def test_another_key_signs_nothing_of_ours() -> None:
    thief = SoftwareAuthenticator(credential_id=MINE.credential_id)
    assert refusal(lambda: asserted(thief.sign_in(GET))) == "bad-signature"
    for signature in (b"", b"\0" * 70):
        assert refusal(lambda: asserted(MINE.sign_in(GET, signature=signature))) == "bad-signature"  # noqa: B023 - called at once


def test_what_was_signed_can_not_be_exchanged() -> None:
    first, second = MINE.sign_in(GET), MINE.sign_in(GET, flags=UP)
    for name in ("authenticatorData", "signature"):
        mixed = changed(first, **{name: json.loads(second)["response"][name]})
        assert refusal(lambda: asserted(mixed)) == "bad-signature"  # noqa: B023 - called at once


def test_the_credential_of_another_user_proves_nothing() -> None:
    theirs = SoftwareAuthenticator(credential_id=b"t" * 32)
    assert refusal(lambda: asserted(theirs.sign_in(GET))) == "unknown-credential"
    assert refusal(lambda: asserted(MINE.sign_in(GET), known=())) == "unknown-credential"


def test_an_authenticator_that_names_a_user_must_name_this_one() -> None:
    assert asserted(MINE.sign_in(GET, user_handle=HANDLE)).factor == "f1"
    assert refusal(lambda: asserted(MINE.sign_in(GET, user_handle=b"i" * 32))) == "unknown-credential"


def test_a_counter_that_does_not_go_up_was_copied() -> None:
    device = SoftwareAuthenticator(count=5)
    assert registered(device.register(CREATE)).mark == 5
    assert asserted(device.sign_in(GET), device=device, mark=5).mark == 6
    assert refusal(lambda: asserted(device.sign_in(GET), device=device, mark=7)) == "counter-not-advanced"
    assert refusal(lambda: asserted(device.sign_in(GET), device=device, mark=100)) == "counter-not-advanced"
    device.count = 0
    assert refusal(lambda: asserted(device.sign_in(GET), device=device, mark=5)) == "counter-not-advanced"


@given(st.integers(-1, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_counter_is_burned_only_above_the_mark(mark: int, count: int) -> None:
    device = replace(MINE, count=count, step=0)
    answer = device.sign_in(GET)
    if count == 0 and mark <= 0:
        assert asserted(answer, mark=mark).mark is None
    elif count > mark:
        assert asserted(answer, mark=mark).mark == count
    else:
        assert refusal(lambda: asserted(answer, mark=mark)) == "counter-not-advanced"


def test_an_authenticator_is_registered_once() -> None:
    known = authenticator_of(MINE)
    assert refusal(lambda: registered(MINE.register(CREATE), before=(known,))) == "already-registered"


def test_the_registered_id_is_that_of_the_key() -> None:
    other = b64(b"o" * 32)
    assert refusal(lambda: registered(MINE.register(CREATE, id=other, rawId=other))) == "malformed"


POINT = MINE.cose_key()


@pytest.mark.parametrize(
    "key",
    [
        {**POINT, -2: b"\1" * 32},
        {**POINT, 3: -35},
        {**POINT, 1: 99},
        {1: 2, 3: -7},
        {},
        {1: 3, 3: -257, -1: (2**1023 + 1).to_bytes(128, "big"), -2: b"\1\0\1"},
    ],
)
def test_a_key_that_is_none_or_too_short_is_not_registered(key: dict[int, Any]) -> None:
    assert refusal(lambda: registered(MINE.register(CREATE, cose_key=key))) == "unsupported-key"


@pytest.mark.parametrize(
    ("fmt", "statement"),
    [
        ("tpm", {}),
        (["none"], {}),
        ("none", {"alg": -7, "sig": b"s"}),
        ("packed", {"alg": -7, "sig": b"s"}),
        ("packed", {}),
    ],
)
def test_attestation_is_not_asked_for(fmt: object, statement: dict[str, Any]) -> None:
    answer = MINE.register(CREATE, fmt=fmt, statement=statement)
    assert refusal(lambda: registered(answer)) == "unsupported-attestation"


def test_what_an_authenticator_says_of_itself_may_come_along() -> None:
    assert registered(MINE.register(CREATE, fmt="packed")) == registered(MINE.register(CREATE))


def test_data_without_a_credential_registers_nothing() -> None:
    assert refusal(lambda: registered(MINE.register(CREATE, flags=UP | UV))) == "malformed"


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "null",
        "[]",
        "{}",
        "[" * 100_000,
        " " * (MAX_ANSWER + 1),
        MINE.sign_in(GET, type="password"),
        MINE.sign_in(GET, rawId=b64(b"o" * 32)),
        MINE.sign_in(GET, id=b64(MINE.credential_id) + "=", rawId=b64(MINE.credential_id) + "="),
        MINE.sign_in(GET, response=None),
        changed(MINE.sign_in(GET), clientDataJSON=...),
        changed(MINE.sign_in(GET), clientDataJSON=b64(b"\xff{}")),
        changed(MINE.sign_in(GET), clientDataJSON=b64(b"[]")),
        changed(MINE.sign_in(GET), clientDataJSON=b64(b'{"type":"webauthn.get","type":"webauthn.get"}')),
        changed(MINE.sign_in(GET), authenticatorData=...),
        changed(MINE.sign_in(GET), authenticatorData=""),
        changed(MINE.sign_in(GET), authenticatorData=b64(member(MINE.sign_in(GET), "authenticatorData") + b"\0")),
        changed(MINE.sign_in(GET), signature=...),
        changed(MINE.sign_in(GET), signature=None),
        changed(MINE.sign_in(GET), signature="\u00e9"),
        changed(MINE.sign_in(GET), userHandle=1),
    ],
)
def test_what_is_no_assertion_is_malformed(answer: str) -> None:
    assert refusal(lambda: asserted(answer)) == "malformed"


@pytest.mark.parametrize("content", ["", "oA", b64(b"\xff" * 40), b64(b"\x81" * 5000)])
def test_what_is_no_attestation_is_malformed(content: str) -> None:
    answer = changed(MINE.register(CREATE), attestationObject=content)
    assert refusal(lambda: registered(answer)) == "malformed"


@given(st.data())
def test_no_changed_byte_of_an_assertion_proves_anything(data: st.DataObject) -> None:
    answer = MINE.sign_in(GET)
    name = data.draw(st.sampled_from(["clientDataJSON", "authenticatorData"]))
    raw = bytearray(member(answer, name))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    refusal(lambda: asserted(changed(answer, **{name: b64(bytes(raw))})))


@given(st.text(max_size=200) | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps))
def test_no_text_makes_it_fail_otherwise(text: str) -> None:
    for work in (lambda: asserted(text), lambda: registered(text)):
        refusal(work)


def test_every_way_to_reach_an_authenticator_is_one_that_the_library_can_tell_a_browser() -> None:
    assert set(TRANSPORTS) == {one.value for one in AuthenticatorTransport}
