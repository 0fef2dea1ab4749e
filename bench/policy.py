"""What the size of a policy set costs: deciding one request among 10 to 10,000 rules, and loading them.

python bench/policy.py [--json FILE] [--check]

A decision here is the candidates, their needs and the decision. The same request is decided among rules on as many
routes, and among rules on one route for as many workloads. Every set is loaded in a process of its own, so that the
memory it takes is seen; no two of its conditions are alike.
"""

import argparse
import gc
import json
import subprocess
import sys
import time
import timeit
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

from extauthz.identity import spiffe
from extauthz.policy.decide import decide, needs
from extauthz.policy.load import load_text
from extauthz.policy.policy_set import PolicySet
from extauthz.values.grants import NO_FACTS
from extauthz.values.identity import Identity, User
from extauthz.wire.compose import check_request
from extauthz.wire.decode import decode

SIZES = (10, 100, 1_000, 10_000)
ROUNDS, CALLS = 15, 2_000
PER_POLICY = 50
MAX_RATIO = 1.3
"""A decision among 10,000 rules over one among 10."""
MAX_LOAD_SECONDS = 10.0
MAX_LOAD_MEGABYTES = 400.0
NOW = 1_795_000_000.0
PAGE = 4096


def rule(number: int, kind: str) -> str:
    """One rule of a set: of the route or of the workload that the request does not have, but for number 7."""
    route = number if kind == "routes" else 7
    workload = f"shop{number}" if kind == "workloads" else "*"
    return f"""
    - name: r{number}
      methods: [POST]
      paths: ["/v1/r{route}/accounts/{{account}}/transfers"]
      workloads: ["spiffe://prod.example.org/ns/{workload}/sa/web"]
      when: user.claims.tenant == context.tenant && request.params.account != "acc-{number}"
      effect: allow
      allow: {{headers: {{x-authz-subject: user.sub}}}}"""


def text(size: int, kind: str) -> str:
    """A policy set of `size` rules, on as many routes or for as many workloads."""
    header = "apiVersion: extauthz/v1\nkind: Policy\nmetadata: {{name: p{}}}\nspec:\n  rules:"
    starts = range(0, size, PER_POLICY)
    return "\n---\n".join(
        header.format(start) + "".join(rule(n, kind) for n in range(start, min(start + PER_POLICY, size)))
        for start in starts
    )


def decision(policies: PolicySet) -> Callable[[], object]:
    """One decision, without records: the request is of route and workload number 7."""
    payload = check_request(
        method="POST", host="payments.example.com", path="/v1/r7/accounts/a1/transfers", context={"tenant": "t1"}
    )
    request = decode(payload)
    user = User(sub="alice", iss="https://idp.example.com", claims={"tenant": "t1"})
    workload = spiffe.parse("spiffe://prod.example.org/ns/shop7/sa/web", verified_by="source_principal")
    identity = Identity(workload=workload, user=user, session="s1")

    def run() -> object:
        candidates = policies.candidates(request, identity)
        needs(candidates)
        return decide(
            candidates, request=request, identity=identity, facts=NO_FACTS, now=NOW, binding_keys=(b"key",)
        ).decision

    return run


def resident_megabytes() -> float:
    """What this process holds in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


def measure_load(size: int, kind: str) -> None:
    """In a process of its own: print what loading costs, in seconds and megabytes."""
    source = text(size, kind)
    load_text(text(SIZES[0], kind))  # what is imported and cached on first use is no part of the set
    before = resident_megabytes()
    started = time.perf_counter()
    policies = load_text(source)
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "megabytes": resident_megabytes() - before, "rules": len(policies.rules)}))


def loads(kind: str) -> dict[int, Mapping[str, float]]:
    """Seconds and megabytes of loading each size."""
    figures = {}
    for size in SIZES:
        command = [sys.executable, __file__, "--load", str(size), kind]
        figures[size] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        assert figures[size]["rules"] == size, figures[size]
    return figures


def decisions(kind: str) -> dict[int, float]:
    """Microseconds of a decision in each size; the sizes take turns, so that a slow moment hits all."""
    runs = {size: decision(load_text(text(size, kind))) for size in SIZES}
    for size, run in runs.items():
        assert "allowed" in repr(run()), (kind, size, run())
    gc.collect()
    gc.freeze()
    taken: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(ROUNDS):
        for size, run in runs.items():
            taken[size].append(timeit.timeit(run, number=CALLS) / CALLS * 1e6)
    return {size: median(times) for size, times in taken.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--load", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        measure_load(int(options.load[0]), options.load[1])
        return 0
    figures = {kind: (decisions(kind), loads(kind)) for kind in ("routes", "workloads")}
    return report(figures, options)


def report(
    figures: Mapping[str, tuple[Mapping[int, float], Mapping[int, Mapping[str, float]]]], options: argparse.Namespace
) -> int:
    """Print, write and judge."""
    missed = []
    written: dict[str, dict[str, object]] = {}
    print(f"{'rules':>16} {'decision µs':>12} {'/ of 10':>8} {'load s':>8} {'load MB':>8}")
    for kind, (decided, loaded) in figures.items():
        for size in SIZES:
            ratio = decided[size] / decided[SIZES[0]]
            seconds, megabytes = loaded[size]["seconds"], loaded[size]["megabytes"]
            name = f"{size} {kind}"
            print(f"{name:>16} {decided[size]:12.1f} {ratio:8.2f} {seconds:8.2f} {megabytes:8.1f}")
            written[name] = {"us": decided[size], "ratio": ratio, "load_s": seconds, "load_mb": megabytes}
            for what, figure, bound in (
                ("the decision, over one among 10", ratio, MAX_RATIO),
                ("seconds of loading", seconds, MAX_LOAD_SECONDS),
                ("megabytes of loading", megabytes, MAX_LOAD_MEGABYTES),
            ):
                if figure > bound:
                    missed.append(f"missed: {name}: {what}: {figure:.2f}, not {bound:.2f}")
    if options.json:
        options.json.write_text(json.dumps(written))
    for line in missed:
        print(line)
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
