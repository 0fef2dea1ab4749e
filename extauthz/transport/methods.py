"""The methods that both transports serve, how long their messages may be, and how callers are sent away."""

from typing import Final

SERVICE: Final = "envoy.service.auth.v3.Authorization"
CHECK: Final = f"/{SERVICE}/Check"
HEALTH_CHECK: Final = "/grpc.health.v1.Health/Check"
HEALTH_WATCH: Final = "/grpc.health.v1.Health/Watch"
PATHS: Final = (CHECK, HEALTH_CHECK, HEALTH_WATCH)
ARRIVED: Final = "x-extauthz-arrived"
"""The header in which our own Envoy tells when a call came, in microseconds since the epoch; a caller's own is
replaced."""
CALLER: Final = "x-extauthz-caller"
"""The header in which our own Envoy tells the names in a caller's certificate: `URI,…;DNS,…`, `-` for none."""
MAX_MESSAGE: Final = 16 * 1024 * 1024
"""Bytes of what is taken in, so that what is too large to be read (`wire.size`) is denied in so many words. Above this
gRPC itself refuses, and the answer is an error; Envoy's `max_request_bytes` bounds the body."""
LONGEST_REQUEST: Final = 20
"""Seconds that a caller may take to send a call and its message; then the call is ended."""
LEAVING: Final = 2
"""Seconds between the word that a server goes and its taking nothing new: callers ask for its health now and then."""
