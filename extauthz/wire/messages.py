"""Bodies of gRPC calls, read by the descriptors that the operator gives.

The rule: a condition sees the one message that a call sends, or an error. A stream of messages, a compressed one, a
truncated one and bytes behind the message are errors (gRPC over HTTP/2, "Length-Prefixed-Message").
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from extauthz.cel import EvalError
from extauthz.errors import ConfigurationError
from extauthz.values.quoting import given
from extauthz.wire.message_values import values_of

LARGEST: Final = 524_288
"""Bytes of a message that is looked into."""

_PREFIX: Final = 5  # a flag and the length


class _Method(msgspec.Struct, frozen=True):
    takes: type[Message]
    streams: bool


class MessageTypes:
    """The methods of the services in a set of descriptors, and the messages that they take."""

    def __init__(self, methods: Mapping[tuple[str, ...], _Method]) -> None:
        """`methods` by the segments of their paths."""
        self._methods = methods

    @classmethod
    def of(cls, payload: bytes, file: str) -> "MessageTypes":
        """The methods in a serialized FileDescriptorSet, which was read from `file`.

        Raises:
            ConfigurationError: it is none, lacks what it imports, or has no service.
        """
        try:
            described = FileDescriptorSet.FromString(payload)
            pool = DescriptorPool()
            for proto in _in_order(described.file):
                pool.Add(proto)
            methods: dict[tuple[str, ...], _Method] = {
                (service.full_name, method.name): _Method(
                    takes=GetMessageClass(method.input_type), streams=method.client_streaming
                )
                for proto in described.file
                for service in pool.FindFileByName(proto.name).services_by_name.values()
                for method in service.methods
            }
        except DecodeError:
            raise ConfigurationError(
                f"{file}: not a set of descriptors; make it with `protoc --include_imports --descriptor_set_out`"
            ) from None
        except (TypeError, KeyError) as error:  # what the pool raises for a file that does not fit the others
            reason = " ".join(str(error).split())
            raise ConfigurationError(f"{file}: the descriptors can't be used: {reason}") from None
        if not methods:
            raise ConfigurationError(f"{file}: no service is described; name the .proto files that define services")
        return cls(methods)

    def read(self, path: tuple[str, ...], body: bytes) -> Mapping[str, Any]:
        """The message that a call sends; `path` are the segments of the request's path, `body` is all of its body.

        Raises:
            EvalError: the method is not described or takes a stream, or the body is not one message of its type.
        """
        method = self._methods.get(path)
        if method is None:
            raise EvalError(f"no gRPC method {given('/'.join(path))} is described")
        if method.streams:
            raise EvalError("the method takes a stream, of which no condition sees the end")
        kind = method.takes.DESCRIPTOR.full_name
        try:
            message = method.takes.FromString(_only_message(body))
        except DecodeError:
            raise EvalError(f"the body is no `{kind}`") from None
        if not message.IsInitialized():
            raise EvalError(f"the body is no `{kind}`: a required field is missing")
        return values_of(message)


def _only_message(body: bytes) -> bytes:
    """The message in a body that has one, whole and not compressed."""
    if len(body) < _PREFIX:
        raise EvalError("the body ends before its first message does")
    if body[0] != 0:
        raise EvalError("the message is compressed, and is not read")
    end = _PREFIX + int.from_bytes(body[1:_PREFIX], "big")
    if len(body) < end:
        raise EvalError("the body ends before its first message does")
    if len(body) > end:
        raise EvalError("the body has more than the one message that the method takes")
    if len(body) > LARGEST:
        raise EvalError(f"the message is larger than {LARGEST} bytes, and is not read")
    return body[_PREFIX:]


def _in_order(files: Iterable[FileDescriptorProto]) -> Iterable[FileDescriptorProto]:
    """The files, each after those that it imports; what is missing the pool will tell."""
    waiting = {proto.name: proto for proto in files}
    while waiting:
        ready = [name for name, proto in waiting.items() if waiting.keys().isdisjoint(proto.dependency)]
        if not ready:
            raise TypeError("they import each other in a circle")
        for name in ready:
            yield waiting.pop(name)
