import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Check(_message.Message):
    __slots__ = ()
    class HeaderMap(_message.Message):
        __slots__ = ("headers",)
        HEADERS_FIELD_NUMBER: _ClassVar[int]
        headers: _containers.RepeatedScalarFieldContainer[bytes]
        def __init__(self, headers: _Optional[_Iterable[bytes]] = ...) -> None: ...
    class HttpRequest(_message.Message):
        __slots__ = ("id", "method", "headers", "path", "host", "scheme", "query", "fragment", "size", "protocol", "body", "raw_body", "header_map")
        ID_FIELD_NUMBER: _ClassVar[int]
        METHOD_FIELD_NUMBER: _ClassVar[int]
        HEADERS_FIELD_NUMBER: _ClassVar[int]
        PATH_FIELD_NUMBER: _ClassVar[int]
        HOST_FIELD_NUMBER: _ClassVar[int]
        SCHEME_FIELD_NUMBER: _ClassVar[int]
        QUERY_FIELD_NUMBER: _ClassVar[int]
        FRAGMENT_FIELD_NUMBER: _ClassVar[int]
        SIZE_FIELD_NUMBER: _ClassVar[int]
        PROTOCOL_FIELD_NUMBER: _ClassVar[int]
        BODY_FIELD_NUMBER: _ClassVar[int]
        RAW_BODY_FIELD_NUMBER: _ClassVar[int]
        HEADER_MAP_FIELD_NUMBER: _ClassVar[int]
        id: str
        method: str
        headers: _containers.RepeatedScalarFieldContainer[bytes]
        path: str
        host: str
        scheme: str
        query: str
        fragment: str
        size: int
        protocol: str
        body: str
        raw_body: bytes
        header_map: Check.HeaderMap
        def __init__(self, id: _Optional[str] = ..., method: _Optional[str] = ..., headers: _Optional[_Iterable[bytes]] = ..., path: _Optional[str] = ..., host: _Optional[str] = ..., scheme: _Optional[str] = ..., query: _Optional[str] = ..., fragment: _Optional[str] = ..., size: _Optional[int] = ..., protocol: _Optional[str] = ..., body: _Optional[str] = ..., raw_body: _Optional[bytes] = ..., header_map: _Optional[_Union[Check.HeaderMap, _Mapping]] = ...) -> None: ...
    class Request(_message.Message):
        __slots__ = ("time", "http")
        TIME_FIELD_NUMBER: _ClassVar[int]
        HTTP_FIELD_NUMBER: _ClassVar[int]
        time: _timestamp_pb2.Timestamp
        http: Check.HttpRequest
        def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., http: _Optional[_Union[Check.HttpRequest, _Mapping]] = ...) -> None: ...
    class Extensions(_message.Message):
        __slots__ = ("context_extensions",)
        class ContextExtensionsEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: str
            def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
        CONTEXT_EXTENSIONS_FIELD_NUMBER: _ClassVar[int]
        context_extensions: _containers.ScalarMap[str, str]
        def __init__(self, context_extensions: _Optional[_Mapping[str, str]] = ...) -> None: ...
    def __init__(self) -> None: ...

class Pieces(_message.Message):
    __slots__ = ("attributes",)
    class Attributes(_message.Message):
        __slots__ = ("source", "destination", "request", "context_extensions", "metadata_context", "tls_session", "route_metadata_context")
        SOURCE_FIELD_NUMBER: _ClassVar[int]
        DESTINATION_FIELD_NUMBER: _ClassVar[int]
        REQUEST_FIELD_NUMBER: _ClassVar[int]
        CONTEXT_EXTENSIONS_FIELD_NUMBER: _ClassVar[int]
        METADATA_CONTEXT_FIELD_NUMBER: _ClassVar[int]
        TLS_SESSION_FIELD_NUMBER: _ClassVar[int]
        ROUTE_METADATA_CONTEXT_FIELD_NUMBER: _ClassVar[int]
        source: _containers.RepeatedScalarFieldContainer[bytes]
        destination: _containers.RepeatedScalarFieldContainer[bytes]
        request: _containers.RepeatedScalarFieldContainer[bytes]
        context_extensions: _containers.RepeatedScalarFieldContainer[bytes]
        metadata_context: _containers.RepeatedScalarFieldContainer[bytes]
        tls_session: _containers.RepeatedScalarFieldContainer[bytes]
        route_metadata_context: _containers.RepeatedScalarFieldContainer[bytes]
        def __init__(self, source: _Optional[_Iterable[bytes]] = ..., destination: _Optional[_Iterable[bytes]] = ..., request: _Optional[_Iterable[bytes]] = ..., context_extensions: _Optional[_Iterable[bytes]] = ..., metadata_context: _Optional[_Iterable[bytes]] = ..., tls_session: _Optional[_Iterable[bytes]] = ..., route_metadata_context: _Optional[_Iterable[bytes]] = ...) -> None: ...
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    attributes: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, attributes: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Bodies(_message.Message):
    __slots__ = ("attributes",)
    class Attributes(_message.Message):
        __slots__ = ("request",)
        class Request(_message.Message):
            __slots__ = ("http",)
            class HttpRequest(_message.Message):
                __slots__ = ("body", "raw_body")
                BODY_FIELD_NUMBER: _ClassVar[int]
                RAW_BODY_FIELD_NUMBER: _ClassVar[int]
                body: bytes
                raw_body: bytes
                def __init__(self, body: _Optional[bytes] = ..., raw_body: _Optional[bytes] = ...) -> None: ...
            HTTP_FIELD_NUMBER: _ClassVar[int]
            http: Bodies.Attributes.Request.HttpRequest
            def __init__(self, http: _Optional[_Union[Bodies.Attributes.Request.HttpRequest, _Mapping]] = ...) -> None: ...
        REQUEST_FIELD_NUMBER: _ClassVar[int]
        request: Bodies.Attributes.Request
        def __init__(self, request: _Optional[_Union[Bodies.Attributes.Request, _Mapping]] = ...) -> None: ...
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    attributes: Bodies.Attributes
    def __init__(self, attributes: _Optional[_Union[Bodies.Attributes, _Mapping]] = ...) -> None: ...
