"""Re-authentication after inactivity through a real Envoy: what wakes a session, what does not, what an end loses."""

import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

import httpx
import pyotp
import pytest
from e2e.stage import Script, Stage, stage, start_extauthz, wait_for_extauthz

IDLE = 4.0
"""Seconds after which a session counts as idle here."""
POLICIES = f"""
apiVersion: extauthz/v1
kind: Policy
metadata: {{name: p}}
spec:
  rules:
    - {{name: users, when: has(user.sub), effect: allow}}
    - name: wake
      paths: ["/accounts"]
      when: session.idle > duration("{IDLE:.0f}s")
      effect: challenge
      challenge: {{factors: [totp], max_age: 1s, bind: session}}
"""


@pytest.fixture(scope="module")
def watched() -> Iterator[Stage]:
    with stage(Script(policies=POLICIES, configuration={"sessions": {"touch_every": "1s"}})) as running:
        yield running


class Caller:
    """Somebody with one session, who logged in just now, and an authenticator."""

    def __init__(self, on: Stage, sub: str) -> None:
        self._authenticator: pyotp.TOTP = on.enroll(sub)
        self._headers = on.bearer(sub, sid=f"session-of-{sub}", auth_time=int(time.time()))
        self._client = on.client()

    def asks(self, path: str = "/accounts") -> int:
        return self._client.get(path, headers=self._headers).status_code

    def proves(self) -> httpx.Response:
        code = {"x-extauthz-otp": self._authenticator.now()}
        return self._client.get("/accounts", headers={**self._headers, **code})


def test_who_was_away_proves_again_and_who_stays_is_left_alone(watched: Stage) -> None:
    caller = Caller(watched, "ann")
    for _ in range(6):
        assert caller.asks() == 200
        time.sleep(1.2)
    time.sleep(IDLE)
    assert caller.asks() == 401
    assert caller.asks("/") == 200, "another page, which no rule watches"
    assert caller.asks() == 401, "asking again is no proof"
    assert caller.proves().status_code == 200
    time.sleep(1.5)  # the proof is over
    assert caller.asks() == 200


def last_seen(on: Stage, sub: str) -> float:
    """When the store last saw the only session of this person, 0 if never."""
    with closing(sqlite3.connect(f"file:{on.folder / 'extauthz.db'}?mode=ro", uri=True)) as database:
        found = database.execute("SELECT last_seen FROM sessions WHERE subject LIKE ?", (f'%"{sub}"]',)).fetchone()
    return float(found[0]) if found is not None else 0.0


def test_a_clean_end_forgets_nothing_and_a_kill_no_more_than_an_interval() -> None:
    with stage(Script(policies=POLICIES, configuration={"sessions": {"touch_every": "1h"}})) as running:
        ben = Caller(running, "ben")
        assert ben.asks() == 200
        deadline = time.monotonic() + 10
        while not (first := last_seen(running, "ben")):
            assert time.monotonic() < deadline, "what is due is written within a second"
            time.sleep(0.05)
        before = time.time()
        assert ben.asks() == 200
        assert last_seen(running, "ben") == first, "not written again for an hour"
        assert running.extauthz.stop() == 0
        assert before <= (ended := last_seen(running, "ben")) <= time.time()

        again = start_extauthz(running.processes, running.folder)
        wait_for_extauthz(again, running.folder)
        cleo = Caller(running, "cleo")
        assert cleo.asks() == 200
        while not (written := last_seen(running, "cleo")):
            time.sleep(0.05)
        assert cleo.asks() == 200
        again.signal(signal.SIGKILL)
        again.stop()
        assert (last_seen(running, "ben"), last_seen(running, "cleo")) == (ended, written)
