"""As `test_fuzz_checks`, where an operator has relaxed the path and has described the messages of gRPC."""

import posixpath
import re
from collections.abc import Iterator
from urllib.parse import unquote

import pytest
from described import descriptors
from fuzz.generated import hostile_plans, payload_of
from fuzz.mutation import damaged, mutated
from fuzz.target import Target, bounded
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import given
from hypothesis import strategies as st

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from extauthz.wire.compose import check_request
from extauthz.wire.messages import MessageTypes
from extauthz.wire.path import ACCEPTABLE
from extauthz.wire.reading import Reading

SMALL, LARGE = b"\x10\x05", b"\x10\x32"
"""Bookings of 5 and of 50."""
LONG = b"\x0a\x04acc1\x10\x05\x4a\x02\x08\x01\x52\x01a\x9a\x01\x02\x10\x32"
POOL = DescriptorPool()
for file in FileDescriptorSet.FromString(descriptors()).file:
    POOL.Add(file)
BOOKING = GetMessageClass(POOL.FindMessageTypeByName("bank.Booking"))


@pytest.fixture(scope="module")
def relaxed() -> Iterator[Target]:
    messages = MessageTypes.of(descriptors(), "bank.pb")
    built = Target(reading=Reading(accept=ACCEPTABLE - {"encoded_slash"}, buffered=True, messages=messages))
    yield built
    built.close()


@given(hostile_plans().map(payload_of) | mutated())
@bounded(200)
def test_no_dots_and_slashes_that_are_let_in_lead_past_a_guard(relaxed: Target, payload: bytes) -> None:
    answered = relaxed.answer(payload)
    if answered.rule == "app/open":
        # `app/closed`, as a server reads it that merges slashes and resolves dots; to one that decodes before it
        # splits no operator should let escaped slashes through.
        raw = CheckRequest.FromString(payload).attributes.request.http.path.partition("?")[0]
        plain = posixpath.normpath(re.sub("/+", "/", unquote(raw)))
        assert re.match("/open/closed(/|$)|/[^/]+/closed$", plain) is None, raw


@given(
    st.sampled_from((SMALL, LARGE, SMALL + LARGE, LARGE + SMALL, LONG))
    | damaged(LONG, LARGE * 9)
    | st.binary(max_size=20),
    st.sampled_from((0, 0, 0, 1, 2)),
    st.sampled_from((0, 0, 0, 1, -1)),
)
@bounded(200)
def test_a_grpc_call_is_allowed_only_by_its_one_whole_message(
    relaxed: Target, message: bytes, flag: int, more: int
) -> None:
    body = bytes([flag]) + max(len(message) + more, 0).to_bytes(4, "big") + message
    headers = {"content-type": "application/grpc"}
    answered = relaxed.answer(
        check_request(method="POST", host="app.example", path="/bank.Ledger/Book", headers=headers, body=body)
    )
    if answered.allows:
        read = BOOKING.FromString(message)
        assert (flag, more) == (0, 0) or not message
        assert getattr(read, "amount") <= 10  # noqa: B009 - the class is made at run time
        assert len(UnknownFieldSet(read)) == 0
    if message == SMALL and flag == more == 0:
        assert answered.rule == "app/call"
