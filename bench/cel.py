"""extauthz.cel beside cel-python, the Rust binding common-expression-language and Python written by hand.

Ten conditions over one request, from small to large, in one run; every competitor evaluates a prepared program on
the values of a request that it has not seen before, so what a library must convert of them counts. A library that
lacks a function gets it in Python, or a form of the condition that it knows; where there is none, the cell is empty.

Prints medians and ratios; `--json FILE` writes them; `--check` exits 1 and names every target that was missed.
"""

import argparse
import importlib
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

# The folder of this script holds a module of the name of a competitor's package: this one.
sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]

import celpy  # noqa: E402  # after the search path is right
from celpy import celtypes  # noqa: E402  # as above
from celpy.adapter import json_to_cel  # noqa: E402  # as above

from bench.harness.cel_conditions import (  # noqa: E402  # as above
    CONDITIONS,
    HAND,
    OURS,
    PLAIN,
    VARIABLES,
    Condition,
    hours,
    inside,
)
from extauthz import cel  # noqa: E402  # as above

rust = importlib.import_module("cel")

TARGETS = {
    "hand-written": ("at most", 3.0),
    "cel-python": ("at least", 200.0),
    "rust binding": ("at least", 30.0),
    "compile, ms": ("at most", 2.0),
}


def with_us(condition: Condition) -> Callable[[], object]:
    program = cel.compile(condition.source, variables=VARIABLES)
    return lambda: program(OURS)


def with_hand(condition: Condition) -> Callable[[], object]:
    return lambda: condition.hand(HAND)


def with_celpy(condition: Condition) -> Callable[[], object]:
    environment = celpy.Environment()
    program = environment.program(
        environment.compile(condition.rust if "cidr" in condition.source and condition.rust else condition.source),
        functions={"inside": lambda network, address: celtypes.BoolType(inside(network, address))},
    )

    def run() -> object:
        return program.evaluate({name: _to_celpy(value) for name, value in PLAIN.items()})

    return run


def _to_celpy(value: Any) -> Any:  # noqa: ANN401  # any value of a request
    if isinstance(value, datetime):
        return celtypes.TimestampType(value)
    if isinstance(value, dict):
        return celtypes.MapType({celtypes.StringType(key): _to_celpy(item) for key, item in value.items()})
    return json_to_cel(value)


def with_rust(condition: Condition) -> Callable[[], object]:
    program = rust.compile(condition.rust or condition.source)

    def run() -> object:
        return program.execute(rust.Context(PLAIN, {"inside": inside, "hours": hours}))

    def run_plain() -> object:
        return program.execute(PLAIN)

    return run if condition.rust else run_plain


COMPETITORS = {"extauthz": with_us, "hand-written": with_hand, "cel-python": with_celpy, "rust binding": with_rust}


ROUNDS = 25


def medians(runs: Mapping[str, Callable[[], object]], budget: float) -> dict[str, float]:
    """The median seconds of a call of each, over rounds in which they take turns, `budget` seconds for each."""
    calls: dict[str, int] = {}
    for name, run in runs.items():
        run()
        began = time.perf_counter()
        run()
        calls[name] = max(1, round(budget / ROUNDS / max(time.perf_counter() - began, 1e-7)))
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            began = time.perf_counter()
            for _ in range(calls[name]):
                run()
            samples[name].append((time.perf_counter() - began) / calls[name])
    return {name: statistics.median(times) for name, times in samples.items()}


def measured(budget: float) -> dict[str, dict[str, float]]:
    """Median seconds by condition and competitor; every competitor must find the condition true."""
    table: dict[str, dict[str, float]] = {}
    for condition in CONDITIONS:
        runs = {name: prepare(condition) for name, prepare in COMPETITORS.items()}
        for name, run in runs.items():
            if not run():
                raise SystemExit(f"{name} finds `{condition.name}` false")
        table[condition.name] = medians(runs, budget)
    return table


def compile_seconds(budget: float) -> float:
    """The median time to compile a condition of some 200 characters."""
    source = CONDITIONS[-1].source
    source = source[: source.index(" && ", 200)]  # 209 of them, to the end of a term
    return medians({"compile": lambda: cel.compile(source, variables=VARIABLES)}, budget)["compile"]


def geometric_mean(values: list[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, values)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--budget", type=float, default=0.25, help="seconds for each cell")
    options = parser.parse_args()
    table = measured(options.budget)
    others = [name for name in COMPETITORS if name != "extauthz"]
    print(f"{'median, µs':16}" + "".join(f"{name:>14}" for name in COMPETITORS))
    for name, row in table.items():
        print(f"{name:16}" + "".join(f"{row[other] * 1e6:14.2f}" for other in COMPETITORS))
    figures = {
        "hand-written": geometric_mean([row["extauthz"] / row["hand-written"] for row in table.values()]),
        "cel-python": geometric_mean([row["cel-python"] / row["extauthz"] for row in table.values()]),
        "rust binding": geometric_mean([row["rust binding"] / row["extauthz"] for row in table.values()]),
        "compile, ms": compile_seconds(options.budget) * 1e3,
    }
    print("\nratios            " + "".join(f"{name:>14}" for name in others))
    for name, row in table.items():
        ratios = [row["extauthz"] / row["hand-written"], *(row[other] / row["extauthz"] for other in others[1:])]
        print(f"{name:18}" + "".join(f"{ratio:14.1f}" for ratio in ratios))
    missed = []
    print("\ngeometric means, and the targets")
    for name, (bound, target) in TARGETS.items():
        met = figures[name] <= target if bound == "at most" else figures[name] >= target
        if not met:
            missed.append(name)
        print(f"{name:14}{figures[name]:10.2f}   {bound} {target:g}{'' if met else '   MISSED'}")
    if options.json:
        result = {"unit": "s", "medians": table, "figures": figures, "missed": missed}
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    if options.check and missed:
        print("missed: " + ", ".join(missed), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
