"""A policy that asks for a proof after inactivity, and a person with one session under it."""

from dataclasses import dataclass

from checking import Bench

WATCHED = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: p}
spec:
  rules:
    - {name: users, when: has(user.sub), effect: allow}
    - name: wake
      paths: ["/pay"]
      when: session.idle > duration("15m")
      effect: challenge
      challenge: {factors: [totp], max_age: 5m, bind: session}
    - {name: never, paths: ["/never"], when: session.age >= duration("0s"), effect: deny}
"""


@dataclass(kw_only=True)
class Person:
    """Somebody with a token of the moment when the person came."""

    bench: Bench
    issued_at: int

    def asks(self, path: str = "/pay", *, on: Bench | None = None, code: str | None = None) -> str:
        """What is decided on a request of the session; `on` is another server."""
        bench = on or self.bench
        token = bench.token(iat=self.issued_at, exp=self.issued_at + 10**7)
        headers = {"authorization": f"Bearer {token}"}
        if code is not None:
            headers["x-extauthz-otp"] = code
        return bench.decision(bench.request(path, headers=headers))[0]

    def idle(self) -> float | None:
        """For how long the session was idle, as the last record has it."""
        session = self.bench.records.kept[-1].session
        return None if session is None else session.idle


def person(bench: Bench) -> Person:
    """At a bench that decides by `WATCHED` from now on, at a whole second."""
    bench.decide_by(WATCHED)
    bench.now[0] = float(int(bench.now[0]))
    return Person(bench=bench, issued_at=int(bench.now[0]))


def pass_time(bench: Bench, minutes: float) -> None:
    """On all clocks, in whole seconds: those are the same as seconds and as nanoseconds since the epoch."""
    seconds = round(minutes * 60)
    bench.now[0] += seconds
    bench.elapsed[0] += seconds
    bench.run(bench.feed.load())
