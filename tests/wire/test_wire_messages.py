"""Bodies of gRPC calls by the operator's descriptors."""

import contextlib
from typing import Any

import pytest
from described import BANK, OLD, descriptors, framed, message
from hypothesis import given
from hypothesis import strategies as st

from extauthz import cel
from extauthz.errors import ConfigurationError
from extauthz.wire.message_values import MOST_VALUES
from extauthz.wire.messages import LARGEST, MessageTypes

BOOK = ("bank.Ledger", "Book")
TYPES = MessageTypes.of(descriptors(), "bank.pb")


def booked(**fields: Any) -> dict[str, Any]:
    return dict(TYPES.read(BOOK, framed(message(**fields))))


def test_every_kind_of_field_is_a_cel_value() -> None:
    read = booked(
        account="a1", amount="9007199254740993", serial="18446744073709551615", rate=0.5, confirmed=True, mark="AP8=",
        kind="URGENT", priority=0, fee={"units": "5", "currency": "EUR"}, labels=["x", "y"], counts={"n": 3},
        fees={"7": {"units": "1"}}, due="2026-11-21T10:00:00.000000005Z", grace="-1.5s", limit="0",
        extra={"a": [1, None, {"b": True}]}, iban="DE1", inner={"account": "a2"}, parts=[{"amount": "1"}], small=7,
        share=0.25,
    )  # fmt: skip
    assert read["amount"] == 9007199254740993
    assert (read["serial"], type(read["serial"])) == (2**64 - 1, cel.UInt)
    assert (read["small"], type(read["small"])) == (7, cel.UInt)
    assert (read["rate"], read["share"], read["confirmed"], read["mark"]) == (0.5, 0.25, True, b"\0\xff")
    assert (read["kind"], type(read["kind"])) == (1, int)
    assert read["priority"] == 0
    assert read["fee"] == {"units": 5, "currency": "EUR"}
    assert (read["labels"], read["counts"]) == (["x", "y"], {"n": 3})
    assert read["fees"] == {7: {"units": 1, "currency": ""}}
    assert read["due"] == cel.Timestamp(1_795_255_200, 5)
    assert read["grace"] == cel.Duration(-1, -500_000_000)
    assert read["limit"] == 0
    assert read["extra"] == {"a": [1.0, None, {"b": True}]}
    assert read["iban"] == "DE1"
    assert "card" not in read
    assert read["inner"]["account"] == "a2"
    assert [one["amount"] for one in read["parts"]] == [1]


def test_a_field_without_presence_is_always_there_and_one_with_it_only_when_it_is_set() -> None:
    read = TYPES.read(BOOK, framed(b""))
    assert (read["account"], read["amount"], read["kind"], read["labels"], read["counts"]) == ("", 0, 0, [], {})
    assert not {"priority", "fee", "due", "limit", "iban", "card", "inner", "extra"} & read.keys()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "ends before"),
        (b"\0\0\0\0", "ends before"),
        (framed(b"\x0a\x01a")[:-1], "ends before"),
        (b"\0\xff\xff\xff\xff", "ends before"),
        (framed(b"", flag=1), "compressed"),
        (framed(b"\x1f\x8b", flag=1), "compressed"),
        (framed(b"", flag=128), "compressed"),
        (framed(b"") + framed(b""), "more than the one message"),
        (framed(b"") + b"\0", "more than the one message"),
        (framed(b"\x0a\x05a"), "is no `bank.Booking`"),
        (framed(b"\x0a\x02\xff\xfe"), "is no `bank.Booking`"),
        (framed(b"\x9a\x01\x02" * 3 + b"\xff"), "is no `bank.Booking`"),
        (framed(b"\xf8\x07\x01"), "lacks"),  # field 127
        (framed(b"\x4a\x03\xf8\x07\x01"), "descriptor of `bank.Money` lacks"),
        (framed(b"\x6a\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "no valid `google.protobuf.Timestamp`"),
        (framed(b"\x6a\x0b\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), "timestamp out of range"),
        (framed(b"\x72\x0d\x08\x01\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "valid `google.protobuf.Duration`"),
        (framed(b"\x82\x01\x07\x0a\x05\x0a\x01a\x12\x00"), "of no kind"),
    ],
)  # fmt: skip
def test_what_is_not_one_whole_message_of_the_type_is_an_error(body: bytes, told: str) -> None:
    with pytest.raises(cel.EvalError, match=told):
        TYPES.read(BOOK, body)


@pytest.mark.parametrize(
    "path", [(), ("bank.Ledger",), ("bank.Ledger", "book"), ("Ledger", "Book"), ("x", "bank.Ledger", "Book")]
)
def test_a_path_that_names_no_described_method_is_an_error(path: tuple[str, ...]) -> None:
    with pytest.raises(cel.EvalError, match="no gRPC method"):
        TYPES.read(path, framed(b""))


def test_a_stream_of_messages_is_an_error_and_a_stream_of_answers_is_none() -> None:
    with pytest.raises(cel.EvalError, match="takes a stream"):
        TYPES.read(("bank.Ledger", "Import"), framed(b""))
    assert TYPES.read(("bank.Ledger", "Follow"), framed(b""))["amount"] == 0


def test_required_fields_must_be_there_and_extensions_are_not_read() -> None:
    types = MessageTypes.of(descriptors(OLD), "old.pb")
    buy = ("old.Shop", "Buy")
    assert types.read(buy, framed(b"\x08\x05")) == {"number": 5}
    with pytest.raises(cel.EvalError, match="required"):
        types.read(buy, framed(b""))
    with pytest.raises(cel.EvalError, match="extension"):
        types.read(buy, framed(b"\x08\x05\xa2\x06\x01a"))


def test_a_message_with_more_than_can_be_looked_at_is_an_error() -> None:
    assert len(TYPES.read(BOOK, framed(b"\x52\x00" * (MOST_VALUES // 2)))["labels"]) == MOST_VALUES // 2
    for repeated in (b"\x52\x00", b"\xa2\x01\x00"):
        with pytest.raises(cel.EvalError, match=f"more than {MOST_VALUES} values"):
            TYPES.read(BOOK, framed(repeated * MOST_VALUES))
    with pytest.raises(cel.EvalError, match="larger than"):
        TYPES.read(BOOK, framed(b"\x0a\x80\x80\x40" + b"a" * LARGEST))


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (b"\xff", "not a set of descriptors"),
        (b"", "no service is described"),
        (descriptors('syntax = "proto3"; message A {}'), "no service is described"),
        (descriptors(BANK, imports=False), "can't be used"),
    ],
)
def test_a_file_without_usable_descriptors_is_told_in_one_line(payload: bytes, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as error:
        MessageTypes.of(payload, "bank.pb")
    assert str(error.value).startswith("bank.pb: ")
    assert "\n" not in str(error.value)


@given(st.binary(max_size=60), st.booleans())
def test_any_body_is_a_message_or_an_error(body: bytes, whole: bool) -> None:
    with contextlib.suppress(cel.EvalError):
        assert "amount" in TYPES.read(BOOK, framed(body) if whole else body)
