"""Values that Python has no type of its own for."""

import copy
import pickle
from typing import Any

import pytest

from extauthz import cel
from extauthz.cel.types import DYN, SimpleType


@pytest.mark.parametrize("value", [-1, 2**64, 2**200])
def test_a_uint_has_64_bits(value: int) -> None:
    with pytest.raises(cel.EvalError, match="uint out of range"):
        cel.UInt(value)


def test_a_timestamp_is_between_the_years_1_and_9999() -> None:
    assert cel.Timestamp(-62_135_596_800).seconds == -62_135_596_800
    assert cel.Timestamp(253_402_300_799, 999_999_999).nanos == 999_999_999
    for seconds, nanos in ((-62_135_596_801, 0), (253_402_300_800, 0), (-62_135_596_800, -1)):
        with pytest.raises(cel.EvalError, match="timestamp out of range"):
            cel.Timestamp(seconds, nanos)


def test_the_parts_of_a_duration_have_one_sign() -> None:
    assert (cel.Duration(-1, -500).seconds, cel.Duration(-1, -500).nanos) == (-1, -500)
    assert (cel.Duration(0, -1_500_000_000).seconds, cel.Duration(0, -1_500_000_000).nanos) == (-1, -500_000_000)
    with pytest.raises(cel.EvalError, match="duration out of range"):
        cel.Duration(2**62)


def test_times_do_not_change() -> None:
    for value in (cel.Timestamp(1), cel.Duration(1)):
        with pytest.raises(AttributeError, match="does not change"):
            value.ns = 5  # type: ignore[misc]  # what must not be done


def test_times_have_an_order_and_equal_only_their_own() -> None:
    assert cel.Timestamp(1) < cel.Timestamp(1, 1) <= cel.Timestamp(2)
    assert cel.Duration(-1) < cel.Duration(0) <= cel.Duration(0, 1)
    assert cel.Timestamp(1) != cel.Duration(1)
    assert len({cel.Timestamp(1), cel.Timestamp(1), cel.Duration(1), cel.Duration(1)}) == 2


VALUES = [
    cel.UInt(5),
    cel.Timestamp(-5, 7),
    cel.Duration(-5, -7),
    cel.Type("int"),
    cel.Optional(),
    cel.Optional(5),
    cel.compile("ip('10.0.0.1')")({}),
    cel.compile("cidr('10.0.0.0/8')")({}),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_and_its_copy_are_equal(value: Any) -> None:
    for other in (pickle.loads(pickle.dumps(value)), copy.copy(value)):  # noqa: S301  # our own bytes
        assert other == value
        assert hash(other) == hash(value)
        assert repr(other) == repr(value)
        assert type(other) is type(value)


def test_what_is_compared_by_identity_stays_one_object() -> None:
    assert pickle.loads(pickle.dumps(cel.UNSET)) is cel.UNSET  # noqa: S301  # our own bytes
    assert copy.deepcopy(cel.UNSET) is cel.UNSET
    kinds: list[cel.CelType] = [cel.DYN, cel.list_of(cel.DYN), cel.StructType("S", {"a": cel.DYN}).fields["a"].type]
    assert pickle.loads(pickle.dumps(kinds[0])) is DYN  # noqa: S301  # our own bytes
    assert pickle.loads(pickle.dumps(kinds[1])).element is DYN  # noqa: S301  # our own bytes
    assert copy.deepcopy(kinds[2]) is DYN
    assert copy.copy(SimpleType("other")) == SimpleType("other")


def test_a_field_that_is_not_set_is_neither_true_nor_false() -> None:
    with pytest.raises(cel.EvalError, match="no value"):
        bool(cel.UNSET)
    assert repr(cel.UNSET) == "UNSET"


def test_an_optional_without_a_value_has_none() -> None:
    assert cel.Optional(None).value is None
    with pytest.raises(cel.EvalError, match="has no value"):
        _ = cel.Optional().value


def test_keys_are_of_a_type_that_keys_can_have() -> None:
    with pytest.raises(ValueError, match="is no type for keys"):
        cel.map_of(cel.DOUBLE, cel.INT)
