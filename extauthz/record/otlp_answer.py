"""What a receiver of OTLP says when it has taken spans.

The rule kept here: an answer that can't be read is one all the same; some receivers say `{}` or `OK`.
"""

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from extauthz.record.outlet import Taken


def answered(body: bytes) -> Taken:
    """How many spans it has left out, and why (OTLP specification, "Partial Success")."""
    try:
        partial = ExportTraceServiceResponse.FromString(body).partial_success
    except DecodeError:
        return Taken()
    return Taken(partial.rejected_spans, partial.error_message)
