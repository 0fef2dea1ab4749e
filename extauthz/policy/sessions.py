"""How old a session is and for how long it was idle: from what a store has seen of it and what its token says.

The rule kept here: a session never looks younger or more active than it is known to be. What nobody knows is unknown.
"""

from extauthz.values.grants import SessionAges, SessionTimes
from extauthz.values.identity import User


def session_ages(user: User, seen: SessionTimes | None, *, now: float) -> SessionAges:
    """The ages at `now` (seconds since the epoch) of the session of `user`; `seen` is `None` if it was never seen.

    It is as old as the earliest of all times that are known of it. It was last active when it was last seen or when its
    user last logged in (`auth_time`), whatever is later. One that was never seen was last active at the login, or,
    where the token does not tell that, when the token was issued. A token that was issued since is no activity of a
    session that was seen: clients renew tokens by themselves.
    """
    beginnings: list[float] = [time for time in (user.auth_time, user.issued_at) if time is not None]
    active: float | None = user.auth_time if user.auth_time is not None else user.issued_at
    if seen is not None:
        beginnings.append(seen.started_at)
        active = seen.last_seen if user.auth_time is None else max(seen.last_seen, user.auth_time)
    return SessionAges(age=_since(min(beginnings, default=None), now), idle=_since(active, now))


def _since(time: float | None, now: float) -> float | None:
    """Never negative: the clocks of others may run ahead."""
    return None if time is None else max(0.0, now - time)
