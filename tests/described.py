"""A gRPC service for tests: its .proto text, the descriptors that protoc makes of it, and messages by them."""

import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, json_format
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message_factory import GetMessageClass
from grpc_tools import protoc  # type: ignore[import-untyped]  # without types

BANK = """
syntax = "proto3";
package bank;
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/wrappers.proto";
enum Kind { PLAIN = 0; URGENT = 1; }
message Money { int64 units = 1; string currency = 2; }
message Booking {
  string account = 1;
  int64 amount = 2;
  uint64 serial = 3;
  double rate = 4;
  bool confirmed = 5;
  bytes mark = 6;
  Kind kind = 7;
  optional int32 priority = 8;
  Money fee = 9;
  repeated string labels = 10;
  map<string, int32> counts = 11;
  map<uint32, Money> fees = 12;
  google.protobuf.Timestamp due = 13;
  google.protobuf.Duration grace = 14;
  google.protobuf.Int64Value limit = 15;
  google.protobuf.Struct extra = 16;
  oneof target { string iban = 17; int64 card = 18; }
  Booking inner = 19;
  repeated Booking parts = 20;
  fixed32 small = 21;
  float share = 22;
}
service Ledger {
  rpc Book(Booking) returns (Booking);
  rpc Import(stream Booking) returns (Booking);
  rpc Follow(Booking) returns (stream Booking);
}
"""
# What has required fields and extensions.
OLD = """
syntax = "proto2";
package old;
message Order { required int32 number = 1; extensions 100 to 199; }
extend Order { optional string note = 100; }
service Shop { rpc Buy(Order) returns (Order); }
"""


@cache
def descriptors(text: str = BANK, *, imports: bool = True) -> bytes:
    """The descriptors of a .proto text, as protoc writes them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "described.proto").write_text(text)
        arguments = [
            "protoc",
            f"--proto_path={folder}",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            f"--descriptor_set_out={folder / 'set.pb'}",
            *(["--include_imports"] if imports else []),
            "described.proto",
        ]
        assert protoc.main(arguments) == 0
        return (folder / "set.pb").read_bytes()


def message(name: str = "bank.Booking", text: str = BANK, **fields: Any) -> bytes:
    """The bytes of a message whose fields are given as protobuf JSON has them."""
    pool = descriptor_pool.DescriptorPool()
    for proto in FileDescriptorSet.FromString(descriptors(text)).file:
        pool.Add(proto)
    made = GetMessageClass(pool.FindMessageTypeByName(name))()
    json_format.ParseDict(fields, made, descriptor_pool=pool)
    return made.SerializeToString(deterministic=True)


def framed(payload: bytes, flag: int = 0) -> bytes:
    """A message as a gRPC call sends it."""
    return bytes([flag]) + len(payload).to_bytes(4, "big") + payload
