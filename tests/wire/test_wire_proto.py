"""The compiled messages: as committed, as Envoy's, and beside others."""

import dataclasses
import importlib.util
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from extauthz._pb.envoy.config.core.v3 import address_pb2, base_pb2
from extauthz._pb.envoy.service.auth.v3 import attribute_context_pb2, external_auth_pb2
from extauthz._pb.envoy.type.v3 import http_status_pb2
from extauthz._pb.extauthz import check_pb2

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    module.DESCRIPTOR for module in (address_pb2, base_pb2, attribute_context_pb2, external_auth_pb2, http_status_pb2)
]
PACKAGES = {
    "envoy.config.core.v3": "envoy_data_plane.envoy.config.core.v3",
    "envoy.service.auth.v3": "envoy_data_plane.envoy.service.auth.v3",
    "envoy.type.v3": "envoy_data_plane.envoy.type.v3",
}
# How the reference names the types of protobuf.
TYPES = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_ENUM: "enum",
    FieldDescriptor.TYPE_MESSAGE: "message",
}


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("proto_generate", ROOT / "proto" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for pattern in ("*.py", "*.pyi")
        for path in folder.rglob(pattern)
        if path != folder / "__init__.py"
    }


def test_the_committed_code_is_what_the_proto_files_compile_to(tmp_path: Path) -> None:
    generator().compile_into(tmp_path)
    assert tree(tmp_path) == tree(ROOT / "extauthz" / "_pb")


def nested(messages: list[Descriptor]) -> Iterator[Descriptor]:
    for message in messages:
        if not message.GetOptions().map_entry:
            yield message
        yield from nested(list(message.nested_types))


MESSAGES = [message for file in FILES for message in nested(list(file.message_types_by_name.values()))]
ENUMS = [enum for file in FILES for enum in file.enum_types_by_name.values()] + [
    enum for message in MESSAGES for enum in message.enum_types
]


def reference(descriptor: Descriptor | EnumDescriptor) -> type:
    """The class of envoy-data-plane, which joins the names of nested types and spells TLS as Tls."""
    package = descriptor.file.package
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it defines validators in a way that pydantic gives up
        module = import_module(PACKAGES[package])
    name = descriptor.full_name.removeprefix(f"{package}.").replace(".", "").replace("TLS", "Tls")
    found: type = getattr(module, name)
    return found


def map_entry(field: FieldDescriptor) -> Descriptor | None:
    entry = field.message_type
    return entry if entry is not None and entry.GetOptions().map_entry else None


def described(field: FieldDescriptor) -> dict[str, object]:
    entry = map_entry(field)
    parts = [entry.fields_by_name[name] for name in ("key", "value")] if entry is not None else []
    return {
        "number": field.number,
        "type": "map" if parts else TYPES[field.type],
        "map": [TYPES[part.type] for part in parts],
        "repeated": field.is_repeated and not parts,
        "oneof": field.containing_oneof.name if field.containing_oneof is not None else None,
    }


def referred(field: dataclasses.Field[object]) -> dict[str, object]:
    meta = field.metadata["betterproto"]
    return {
        "number": meta.number,
        "type": meta.proto_type,
        "map": [part.proto_type for part in meta.map_meta or ()],
        "repeated": meta.repeated,
        "oneof": meta.group,
    }


def type_of(field: FieldDescriptor) -> str | None:
    """The name of the message or enumeration that the field, or the map's value, is of."""
    entry = map_entry(field)
    value = entry.fields_by_name["value"] if entry is not None else field
    named = value.message_type or value.enum_type
    if named is None:
        return None
    return named.full_name.removeprefix(f"{named.file.package}.").replace(".", "").replace("TLS", "Tls")


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.full_name)
def test_every_field_is_envoys_in_name_number_type_and_label(message: Descriptor) -> None:
    known = {field.name: field for field in dataclasses.fields(reference(message))}
    for field in message.fields:
        assert field.name in known
        theirs = known[field.name]
        assert described(field) == referred(theirs)
        name = type_of(field)
        if name == "Timestamp":  # unwrapped there
            assert "datetime.datetime" in str(theirs.type)
        elif name is not None:
            assert re.search(rf"\b{name}\b", str(theirs.type))


@pytest.mark.parametrize("enum", ENUMS, ids=lambda enum: enum.full_name)
def test_every_enumeration_is_envoys(enum: EnumDescriptor) -> None:
    members: Iterable[Enum] = reference(enum)  # type: ignore[assignment]  # the class of an enumeration is iterable
    assert {value.name: value.number for value in enum.values} == {member.name: member.value for member in members}


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        (check_pb2.Pieces.DESCRIPTOR, external_auth_pb2.CheckRequest.DESCRIPTOR),
        (check_pb2.Pieces.Attributes.DESCRIPTOR, attribute_context_pb2.AttributeContext.DESCRIPTOR),
        (check_pb2.Check.Request.DESCRIPTOR, attribute_context_pb2.AttributeContext.Request.DESCRIPTOR),
        (check_pb2.Check.HttpRequest.DESCRIPTOR, attribute_context_pb2.AttributeContext.HttpRequest.DESCRIPTOR),
    ],
    ids=["check", "attributes", "request", "http"],
)
def test_the_pieces_of_a_check_are_envoys_or_bytes_of_envoys_messages(pieces: Descriptor, whole: Descriptor) -> None:
    known = {field.name: field for field in whole.fields}
    for field in pieces.fields:
        theirs = known[field.name]
        if field.type == FieldDescriptor.TYPE_BYTES and theirs.type == FieldDescriptor.TYPE_MESSAGE:
            # Bytes that come twice are no longer one message.
            assert (field.number, field.is_repeated) == (theirs.number, True)
        else:
            assert described(field) == described(theirs)
    assert known.keys() == {field.name for field in pieces.fields}


def test_the_service_is_envoys() -> None:
    service = external_auth_pb2.DESCRIPTOR.services_by_name["Authorization"]
    (method,) = service.methods
    called: list[str] = []

    class Channel:
        def unary_unary(self, path: str, *_: object) -> Callable[[object], None]:
            called.append(path)
            return lambda _: None

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = import_module(PACKAGES["envoy.service.auth.v3"])
    module.AuthorizationSyncStub(Channel()).check(None)
    assert called == [f"/{service.full_name}/{method.name}"]
    assert (method.input_type.name, method.output_type.name) == ("CheckRequest", "CheckResponse")
    assert not method.client_streaming
    assert not method.server_streaming


BESIDE_OTHERS = """
import warnings
from google.protobuf import any_pb2, descriptor_pool, struct_pb2, timestamp_pb2
from google.rpc import error_details_pb2, status_pb2
from extauthz._pb.envoy.config.core.v3 import address_pb2, base_pb2
from extauthz._pb.envoy.service.auth.v3 import attribute_context_pb2, external_auth_pb2
from extauthz._pb.envoy.type.v3 import http_status_pb2
from extauthz._pb.extauthz import check_pb2
import opentelemetry.exporter.otlp.proto.grpc.trace_exporter
import opentelemetry.exporter.otlp.proto.http.trace_exporter
import grpc_health.v1.health_pb2
warnings.simplefilter("ignore", DeprecationWarning)
import envoy_data_plane.envoy.service.auth.v3
# What a package with Envoy's full API does on import: it registers the same files and messages for everyone.
for module in (address_pb2, base_pb2, attribute_context_pb2, http_status_pb2, external_auth_pb2):
    descriptor_pool.Default().AddSerializedFile(module.DESCRIPTOR.serialized_pb)
theirs = descriptor_pool.Default().FindMessageTypeByName("envoy.service.auth.v3.CheckRequest")
assert theirs is not external_auth_pb2.CheckRequest.DESCRIPTOR
assert external_auth_pb2.CheckRequest.FromString(b"") == external_auth_pb2.CheckRequest()
"""


def test_others_may_bring_envoys_api_into_the_same_process() -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", BESIDE_OTHERS], check=True, timeout=60)
