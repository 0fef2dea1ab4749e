"""Signatures of webhooks are those of Standard Webhooks."""

import hmac
from base64 import b64decode, b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from telling.telling_parts import SECRET

from extauthz.approval.telling.signing import signed_headers, signing_key

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def whsk(raw: bytes) -> str:
    return "whsk_" + b64encode(raw).decode()


def test_a_signature_is_the_one_that_the_reference_library_makes() -> None:
    # standard-webhooks, libraries/python/tests/test_webhooks.py: `test_sign_function`
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers([key], event="msg_p5jXN8AQM9LWM0D4loKWxJek", at=1614265330, body=b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_an_ed25519_key_signs_as_v1a_with_and_without_its_public_half() -> None:
    seed, public = bytes(range(32)), PRIVATE.public_key().public_bytes_raw()
    for raw in (seed, seed + public):
        headers = signed_headers([signing_key(whsk(raw))], event="e-1", at=7, body=b"{}")
        version, _, signature = headers["webhook-signature"].partition(",")
        assert version == "v1a"
        PRIVATE.public_key().verify(b64decode(signature), b"e-1.7.{}")


def test_all_secrets_sign_so_that_either_is_enough_while_one_follows_the_other() -> None:
    new = "whsec_" + b64encode(bytes(24)).decode()
    keys = [signing_key(new), signing_key(SECRET), signing_key(whsk(bytes(range(32))))]
    signatures = signed_headers(keys, event="e-1", at=7, body=b"{}")["webhook-signature"].split(" ")
    assert [one.partition(",")[0] for one in signatures] == ["v1", "v1", "v1a"]
    for text, signature in zip((new, SECRET), signatures, strict=False):
        mac = hmac.digest(b64decode(text.removeprefix("whsec_")), b"e-1.7.{}", "sha256")
        assert signature == "v1," + b64encode(mac).decode()


def test_without_secrets_there_is_an_id_and_a_time_and_no_signature() -> None:
    assert signed_headers([], event="e-1", at=7, body=b"{}") == {"webhook-id": "e-1", "webhook-timestamp": "7"}


@given(st.binary(max_size=64), st.integers(min_value=0, max_value=2**33), st.binary(max_size=64))
def test_another_body_or_another_time_has_another_signature(body: bytes, at: int, other: bytes) -> None:
    key = signing_key(SECRET)
    signature = signed_headers([key], event="e-1", at=at, body=body)["webhook-signature"]
    assert (signed_headers([key], event="e-1", at=at, body=other)["webhook-signature"] == signature) == (body == other)
    assert signed_headers([key], event="e-1", at=at + 1, body=body)["webhook-signature"] != signature


def test_an_id_with_a_full_stop_is_refused_since_it_could_be_read_as_another_message() -> None:
    with pytest.raises(ValueError, match="full stop"):
        signed_headers([signing_key(SECRET)], event="e.1", at=7, body=b"{}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "begins with"),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begins with"),
        ("whsec_" + b64encode(bytes(23)).decode(), "24 to 64 bytes"),
        ("whsec_" + b64encode(bytes(65)).decode(), "24 to 64 bytes"),
        ("whsec_", "24 to 64 bytes"),
        ("whsec_" + "!" * 32, "base64"),
        ("whsec_" + "A" * 33, "base64"),
        (whsk(bytes(31)), "32 bytes"),
        (whsk(bytes(64)), "public key"),
    ],
)
def test_what_is_no_secret_is_refused_without_being_repeated(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        signing_key(text)
    assert len(text) < 8 or text[6:] not in str(caught.value)


def test_a_key_does_not_show_itself() -> None:
    assert "\\x" not in repr(signing_key(SECRET))
    assert "0x" not in repr(signing_key(whsk(bytes(range(32)))))
