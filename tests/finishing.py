"""Checks brought to their end, as a transport does it: also those that are held meanwhile."""

from extauthz.check.checker import Checker
from extauthz.check.holding import Held
from extauthz.check.opened import Opened


async def finished(checker: Checker, opened: Opened, *, deadline: float | None) -> bytes:
    """The answer to what `start` left open, after every wait for an approval."""
    answer = await checker.finish(opened, deadline=deadline)
    while isinstance(answer, Held):
        assert checker.holding is not None
        await checker.holding.wait(answer)
        resumed = checker.resume(answer)
        answer = resumed if isinstance(resumed, bytes) else await checker.finish(resumed, deadline=deadline)
    return answer
