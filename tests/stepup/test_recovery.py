"""Recovery codes: made of all their randomness, read as people write them, found without telling which."""

import hmac
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepup.proofs import ALICE, ring

from extauthz.stepup.recovery import CODE_BYTES, CODES, canonical, digest, find, make_codes

RANDOM = bytes(range(CODES * CODE_BYTES))
MADE = make_codes(RANDOM)
randomness = st.binary(min_size=CODES * CODE_BYTES, max_size=CODES * CODE_BYTES)


def kept(codes: tuple[str, ...] = MADE) -> dict[str, bytes]:
    return {f"f{number}": digest(canonical(code) or "") for number, code in enumerate(codes)}


def test_a_code_is_spelt_for_people() -> None:
    assert len(set(MADE)) == CODES
    assert MADE[0] == "000G-40R4-0M30-E209"
    assert all(re.fullmatch(r"(?:[0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}", code) for code in MADE)


@given(randomness, randomness)
def test_codes_are_made_of_all_the_randomness(one: bytes, other: bytes) -> None:
    assert (make_codes(one) == make_codes(other)) == (one == other)


@pytest.mark.parametrize("length", [0, CODES * CODE_BYTES - 1, CODES * CODE_BYTES + 1])
def test_too_little_randomness_makes_no_codes(length: int) -> None:
    with pytest.raises(ValueError, match="random bytes"):
        make_codes(bytes(length))


@given(randomness, st.data())
def test_every_code_is_found_however_it_is_typed(random: bytes, data: st.DataObject) -> None:
    codes = make_codes(random)
    number = data.draw(st.integers(0, CODES - 1))
    typed = "".join(
        data.draw(st.sampled_from({"0": "0Oo", "1": "1IiLl"}.get(letter, letter + letter.lower())))
        + data.draw(st.sampled_from(("", "", "", " ", "-")))
        for letter in codes[number].replace("-", "")
    )
    assert find(typed, kept(codes)) == f"f{codes.index(codes[number])}" or len(set(codes)) < CODES


@given(st.integers(0, 15), st.sampled_from("0123456789ABCDEFGHJKMNPQRSTVWXYZ"))
def test_a_code_with_another_letter_is_nobodys(place: int, letter: str) -> None:
    plain = MADE[3].replace("-", "")
    changed = plain[:place] + letter + plain[place + 1 :]
    assert (find(changed, kept()) == "f3") == (changed == plain)


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "-",
        MADE[0][:-1],
        MADE[0] + "0",
        MADE[0].replace("0", "\uff10"),  # a wide digit
        MADE[0].replace("0", "\u0660"),  # an Arabic one
        MADE[0].replace("-", "\t"),
        MADE[0] + "\n",
        MADE[0].replace("-", "_"),
        "U" * 16,
        "\u0131" * 16,  # its upper case is I
        "0" * 100_000,
        "\ud800",
    ],
)
def test_what_can_not_be_a_code_is_none(typed: str) -> None:
    assert canonical(typed) is None
    assert find(typed, kept()) is None


def test_the_canonical_spelling_is_the_only_one() -> None:
    assert canonical("oilO-abcd-efgh-jkmn") == "0110ABCDEFGHJKMN"


def test_all_digests_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def counted(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", counted)
    for typed in (MADE[0], MADE[9], "0" * 16):
        compared.clear()
        find(typed, kept())
        assert compared == list(kept().values())


def test_what_is_kept_rests_sealed_and_is_found_after_a_rotation() -> None:
    place = (ALICE.key, "f0")
    sealed = ring("old").seal(kept()["f0"], place=place, nonce=b"n" * 12)
    opened = ring("old", "new").open(sealed, place=place)
    assert find(MADE[0], {"f0": opened}) == "f0"
