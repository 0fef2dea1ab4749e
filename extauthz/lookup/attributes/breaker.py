"""When a source that fails is not asked any more, and when it is tried again.

The rule: whoever answers, whatever it is, is there. After some failures in a row nobody is asked for a while; then one
question is let through, and how it ends says how it goes on.
"""


class Breaker:
    """Opens after `failures` in a row, for `pause` seconds; all times are on one monotonic clock.

    `pause` must be no shorter than a question may take, or there would be two that try at a time.
    """

    def __init__(self, *, failures: int, pause: float) -> None:
        self._most = failures
        self._pause = pause
        self._failures = 0
        self._shut_until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether questions are turned away, but for those that try."""
        return self._failures >= self._most

    def admits(self, now: float) -> bool:
        """Whether a question may be asked; who gets a yes asks it, and tells how it ended."""
        if not self.is_open:
            return True
        if now < self._shut_until:
            return False
        self._shut_until = now + self._pause  # the others go on waiting for what this one finds
        return True

    def answered(self) -> None:
        """Somebody was there."""
        self._failures = 0

    def failed(self, now: float) -> None:
        """Nobody was."""
        self._failures += 1
        if self.is_open:
            self._shut_until = now + self._pause
