"""What a call that comes by ASGI says in its headers.

The rule: it is read before the message is asked for, so that a call which says what it may not waits for no message.
"""

import time
from collections.abc import Callable
from typing import Final, final

from extauthz.record.decision import TRACE_HEADERS, Trace
from extauthz.transport.admission import longest_turn
from extauthz.transport.framing import refuse_encoding, seconds_of
from extauthz.transport.methods import ARRIVED

Headers = list[tuple[bytes, bytes]]

_TIMEOUT: Final = b"grpc-timeout"
_ENCODING: Final = b"grpc-encoding"
_ARRIVED: Final = ARRIVED.encode()
_TRACE: Final[dict[bytes, str]] = {name.encode(): name for name in TRACE_HEADERS}
_LENGTHS: Final = sum({1 << len(name) for name in (_TIMEOUT, _ENCODING, _ARRIVED, *_TRACE)})
"""Bit *n* is set where a name that is read has *n* bytes: most that are not have another length."""
_wall: Final[Callable[[], float]] = time.time
_monotonic: Final[Callable[[], float]] = time.monotonic


@final
class Said:
    """What a call says of itself: the seconds that its caller gives it, when it came (seconds since the epoch), and the
    caller's span, which Envoy sends beside the CheckRequest."""

    def __init__(self, timeout: float | None, arrived: float | None, trace: Trace) -> None:
        self.trace = trace
        self._timeout = timeout
        self._arrived = arrived
        self._deadline: float | None = None

    def begin(self) -> bool:
        """Take notice that it has its turn now; whether that is too late."""
        waited = 0.0
        if self._arrived is not None:
            waited = _wall() - self._arrived
            if waited < 0.0:  # the clock was set back
                waited = 0.0
        if self._timeout is not None:
            self._deadline = _monotonic() - waited + self._timeout
        return waited > longest_turn(self._timeout)

    def remaining(self) -> float | None:
        """Seconds until the caller's deadline, `None` if there is none; to be asked after `begin`."""
        return None if self._deadline is None else self._deadline - _monotonic()


def read(headers: Headers) -> Said:
    """Read the headers of a call.

    Raises:
        CallFailed: it gives itself no time, or compresses its message.
    """
    timeout: float | None = None
    arrived: float | None = None
    trace: Trace = ()
    for name, value in headers:
        if not (_LENGTHS >> len(name)) & 1:
            continue
        if name == _TIMEOUT:
            timeout = seconds_of(value)
        elif name == _ARRIVED:
            arrived = _whole_number(value) / 1e6
        elif name == _ENCODING:
            refuse_encoding(value)
        elif name in _TRACE:
            trace = (*trace, (_TRACE[name], value.decode("ascii", "replace")))
    return Said(timeout, arrived, trace)


def _whole_number(digits: bytes) -> float:
    """As `float(int(digits))`, exact below 2**53, at half of its cost."""
    if not digits:
        raise ValueError("no whole number")
    number = 0.0
    for place in range(len(digits)):
        digit = digits[place] - 48
        if digit < 0 or digit > 9:
            raise ValueError("not a whole number")
        number = number * 10.0 + digit
    return number
