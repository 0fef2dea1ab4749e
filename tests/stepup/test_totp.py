"""One-time codes against the vectors of RFC 6238, and their one spelling."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.stepup.totp import code_at, is_code, provisioning_uri, step_at, verify

SECRET = b"12345678901234567890"

# RFC 6238 appendix B, SHA-1; its codes have eight digits, the last six are those of a six-digit code.
VECTORS = [
    (59, "287082"),
    (1_111_111_109, "081804"),
    (1_111_111_111, "050471"),
    (1_234_567_890, "005924"),
    (2_000_000_000, "279037"),
    (20_000_000_000, "353130"),
]


@pytest.mark.parametrize(("time", "code"), VECTORS)
def test_codes_are_those_of_rfc_6238(time: int, code: str) -> None:
    assert code_at(SECRET, step_at(time)) == code
    assert verify(SECRET, code, time) == step_at(time)


@given(st.integers(2, 10**8), st.integers(-4, 4))
def test_a_code_is_good_within_one_step_of_its_own(step: int, ahead: int) -> None:
    found = verify(SECRET, code_at(SECRET, step), (step - ahead) * 30)
    if abs(ahead) <= 1:
        assert found is not None
        assert code_at(SECRET, found) == code_at(SECRET, step)
    else:
        # Two steps may have one code, once in some hundred thousand: then it is that step's code, too.
        assert found is None or code_at(SECRET, found) == code_at(SECRET, step)


@given(st.text(max_size=8))
def test_one_spelling_of_a_code(text: str) -> None:
    assert is_code(text) == (len(text) == 6 and all(character in "0123456789" for character in text))


@pytest.mark.parametrize(
    "spelling",
    [" 287082", "287082 ", "287 082", "287082\n", "0287082", "87082", "+287082", "２８７０８２", "٢٨٧٠٨٢", ""],  # noqa: RUF001 - look-alike digits are the test
)
def test_another_spelling_of_the_right_code_is_wrong(spelling: str) -> None:
    assert verify(SECRET, spelling, 59) is None


def test_codes_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[object, object]] = []

    def counted(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", counted)
    for code in ("287082", "000000"):
        compared.clear()
        verify(SECRET, code, 59)
        # All three steps, whether one fits or none.
        assert len(compared) == 3


def test_before_the_first_step_nothing_breaks() -> None:
    assert verify(SECRET, code_at(SECRET, 0), 0) == 0


def test_the_provisioning_uri_names_issuer_and_account() -> None:
    uri = provisioning_uri(SECRET, account="alice", issuer="idp.example.com")
    assert uri == "otpauth://totp/idp.example.com:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=idp.example.com"
