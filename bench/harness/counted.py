"""python -m bench.harness.counted: decides when it is told to, so that its instructions can be counted from outside.

For each number that it reads it decides that many Checks and prints the number. With one as an argument it decides that
many and ends, for counters that take a whole process.
"""

import gc
import os
import sys
import time
from collections import deque
from concurrent.futures import Future

from bench.harness import traffic
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.app.pace import NEW
from extauthz.check.checker import Checker
from extauthz.check.surroundings import Ruling, Surroundings
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.resolver import Resolver
from extauthz.policy.load import load_text
from extauthz.record.brief import Decided
from extauthz.record.keeping import Record, Recorder
from extauthz.stepup.keys import SECRET_BYTES, generate_key, parse_keys
from extauthz.store.memory import MemoryStore

RULES = 50
WAITING = 256


class Left(Recorder):
    """Where records are left for those who write them, as many as may wait meanwhile."""

    def __init__(self) -> None:
        self._waiting: deque[Record] = deque(maxlen=WAITING)

    @property
    def blocks(self) -> bool:
        """Never."""
        return False

    @property
    def blocked(self) -> bool:
        """Never."""
        return False

    def record(self, record: Record) -> None:
        """Take one record."""
        self._waiting.append(record)

    def commit(self, record: Decided) -> Future[None]:
        """No rule here asks for it."""
        raise NotImplementedError


def checker() -> Checker:
    """Decides `traffic.request()` by the rules of the other parts, without a transport."""
    xfcc = {"accept": "last", "without_principal": True}
    workload = {"trust_domains": ["prod.example.org"], "sources": ["xfcc"], "xfcc": xfcc}
    identity = IdentitySettings.model_validate({"workload": workload})
    surroundings = Surroundings(
        clock=time.time_ns,
        monotonic=time.monotonic,
        entropy=os.urandom,
        store=MemoryStore(),
        keys=parse_keys(generate_key(os.urandom(SECRET_BYTES), created=int(time.time()))),
        recorder=Left(),
    )
    ruling = Ruling(policies=load_text(traffic.policy(RULES)), resolver=Resolver(identity, ClientSettings(), {}))
    return Checker(ruling, surroundings)


def main() -> None:
    """Decide as often as told."""
    start, request = checker().start, traffic.request()

    def decide(times: int) -> None:
        for _ in range(times):
            start(request)

    answer = start(request)
    assert isinstance(answer, bytes)
    assert CheckResponse.FromString(answer).status.code == 0
    gc.collect()
    gc.freeze()  # as a server does, or a search of all there is would fall among the decisions or behind them by chance
    gc.set_threshold(NEW)
    if len(sys.argv) > 1:
        decide(int(sys.argv[1]))
        return
    print("ready", flush=True)
    for line in sys.stdin:
        decide(int(line))
        print(line.strip(), flush=True)


if __name__ == "__main__":
    main()
