"""What the index of the audit costs: to fill it, how large it is, and how long each look-up takes.

python bench/decisions.py [--json FILE] [--check] [--decisions N]

One process on one core. Rows are put in as the indexer makes them, without an audit file behind them: two million of
them are read and written by nobody. The index of the first ten thousand is filled from real lines.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from extauthz.history import index_form
from extauthz.history.index import Index
from extauthz.history.index_questions import Pattern, Wanted
from extauthz.history.indexing import MINUTE, Indexer
from extauthz.record.audit_line import DecisionLine, IdentityLine, RequestLine, UserLine
from extauthz.record.instants import rfc3339

MAX_MS = 200.0
"""For a page of any filter, that of the rarest and of the commonest value."""
START = 1_790_000_000 * 1_000_000_000
STEP = 50_000_000
"""Nanoseconds between two decisions: 20 a second."""
REAL = 10_000
MOST = 50
OLD = 10_000
"""The first decisions, each on a path of its own that was not used since."""
_CHUNK = 100_000


def line(number: int) -> DecisionLine:
    """A decision as a server records it."""
    return DecisionLine(
        v=1,
        time=rfc3339(START + number * STEP),
        decision_id=f"{number:032x}",
        decision="allow",
        reason="rule-allows",
        rule="payments/reports",
        status=200,
        revision="sha256:0",
        duration_us=210.0,
        request=RequestLine(
            method="GET",
            scheme="https",
            host="payments.example.com",
            path=f"/v1/accounts/a{number % 5000}",
            headers={"traceparent": [f"00-{number + 1:032x}-00000000000000ff-01"]},
        ),
        identity=IdentityLine(user=UserLine(sub=f"user-{number % 1000}", iss="https://idp.example.com")),
    )


def fill_from_lines(folder: Path) -> float:
    """Microseconds that a line costs that is read, taken apart and put in."""
    audit = folder / "audit.jsonl"
    audit.write_bytes(b"".join(msgspec.json.encode(line(number)) + b"\n" for number in range(REAL)))
    with Indexer(audit, folder / "audit.sqlite") as indexer:
        started = time.perf_counter()
        while indexer.step():
            pass
        return (time.perf_counter() - started) / REAL * 1e6


def fill_with_rows(path: Path, count: int) -> None:
    """An index of this many decisions: a thousand words are common, a few are rare, and paths have a long tail."""
    random.seed(10)
    connection = index_form.open_to_fill(path)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    words = [
        *("allow", "deny", "challenge", "hold", "reason", "GET", "rare-user", "rare-rule", "/rare", "rare-host"),
        *(f"user-{one}" for one in range(10_000)),
        *(f"payments/rule-{one}" for one in range(500)),
        *(f"spiffe://prod.example.org/ns/shop/sa/{one}" for one in range(200)),
        *(f"h{one}.example.com" for one in range(50)),
        *(f"/v1/accounts/a{one}/transfers" for one in range(100_000)),
        *(f"/v0/accounts/a{one}" for one in range(OLD)),
    ]
    connection.executemany("INSERT INTO words (word) VALUES (?)", ((word,) for word in words))
    number = {word: place for place, word in enumerate(words, 1)}
    connection.execute("INSERT INTO files (mark, name, position) VALUES (?, 'audit.jsonl', 0)", (b"m" * 16,))
    user, rule, workload = number["user-0"], number["payments/rule-0"], number["spiffe://prod.example.org/ns/shop/sa/0"]
    host, path_word = number["h0.example.com"], number["/v1/accounts/a0/transfers"]
    old_path = number["/v0/accounts/a0"]
    put = f"INSERT INTO decisions VALUES ({', '.join('?' * 15)})"  # noqa: S608 - ours
    for first in range(0, count, _CHUNK):
        rows = []
        for one in range(first, min(first + _CHUNK, count)):
            rare = one == 1000
            rows.append(
                (
                    None,
                    START + one * STEP,
                    random.choices((1, 2, 3, 4), (90, 6, 3, 1))[0],  # noqa: S311 - traffic, no secret
                    number["reason"],
                    number["rare-rule"] if rare else rule + min(int(random.expovariate(0.05)), 499),
                    number["rare-user"] if rare else user + random.randrange(10_000),  # noqa: S311
                    workload + random.randrange(200),  # noqa: S311
                    number["rare-host"] if rare else host + min(int(random.expovariate(0.5)), 49),
                    number["GET"],
                    number["/rare"] if rare else old_path + one if one < OLD else path_word + random.randrange(100_000),  # noqa: S311
                    f"{one + 1:032x}",
                    f"{one:032x}",
                    1,
                    one * 900,
                    899,
                )
            )
        connection.executemany(put, rows)
    minutes = range(START // MINUTE, (START + count * STEP) // MINUTE)
    connection.executemany(
        "INSERT INTO counts VALUES (?, ?, 300)",
        ((minute, kind) for minute in minutes for kind in ("allow", "deny", "challenge", "hold")),
    )
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def look_ups(count: int) -> dict[str, Wanted]:
    """What operators ask, and what is worst for an index."""
    middle, end = START + count // 2 * STEP, START + count * STEP
    return {
        "newest": Wanted(),
        "at an hour in the middle": Wanted(since=middle, until=middle + 60 * MINUTE),
        "denied": Wanted(equal={"decision": "deny"}),
        "denied, an hour in the middle": Wanted(equal={"decision": "deny"}, since=middle, until=middle + 60 * MINUTE),
        "a common rule": Wanted(equal={"rule": "payments/rule-1"}),
        "a rare rule": Wanted(equal={"rule": "rare-rule"}),
        "a common subject": Wanted(equal={"subject": "user-7"}),
        "a rare subject": Wanted(equal={"subject": "rare-user"}),
        "a subject, denied, by a rule": Wanted(
            equal={"subject": "user-7", "decision": "deny", "rule": "payments/rule-1"}
        ),
        "a workload, held": Wanted(equal={"workload": "spiffe://prod.example.org/ns/shop/sa/3", "decision": "hold"}),
        "a rare host": Wanted(equal={"host": "rare-host"}),
        "a common host that a rare rule never decides": Wanted(equal={"host": "h0.example.com", "rule": "rare-rule"}),
        "a path": Wanted(equal={"path": "/v1/accounts/a77/transfers"}),
        "all paths below one": Wanted(path=Pattern("/v1/accounts/*")),
        "paths in the middle": Wanted(path=Pattern("/v1/*/a77*/transfers"), since=middle, until=middle + 60 * MINUTE),
        "paths that begin rarely": Wanted(path=Pattern("/rar*")),
        "many paths, none of them new": Wanted(path=Pattern("/v0/*")),
        "denied, on many paths, none of them new": Wanted(equal={"decision": "deny"}, path=Pattern("/v0/*")),
        "a trace": Wanted(equal={"trace": f"{count // 2:032x}"}),
        "a page far back": Wanted(before=(START + count // 10 * STEP, count // 10)),
        "nothing of that kind": Wanted(equal={"subject": "nobody"}, until=end),
    }


def plots() -> dict[str, Wanted]:
    """What plots are asked for, of all the time that there is."""
    return {
        "of all": Wanted(),
        "of a subject": Wanted(equal={"subject": "user-7"}),
        "of the commonest rule": Wanted(equal={"rule": "payments/rule-0"}),
        "of the commonest host": Wanted(equal={"host": "h0.example.com"}),
        "on old paths": Wanted(path=Pattern("/v0/*")),
        "on a few paths": Wanted(path=Pattern("/v1/accounts/a77*")),
    }


def measure(count: int) -> dict[str, float]:
    """Milliseconds by look-up, the middle one of five; and what filling costs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {"µs to take a line": fill_from_lines(folder)}
        path = folder / "large.sqlite"
        started = time.perf_counter()
        fill_with_rows(path, count)
        found["s to make the index"] = time.perf_counter() - started
        found["bytes a decision"] = path.stat().st_size / count
        index = Index(folder / "audit.jsonl", path)
        for what, wanted in look_ups(count).items():
            found[f"ms {what}"] = _middle(lambda wanted=wanted: index.listed(wanted, most=MOST))
        span = count * STEP
        for what, wanted in plots().items():
            found[f"ms counts over all, {what}"] = _middle(
                lambda wanted=wanted: index.counts(wanted, START, START + span, max(1, span // MINUTE // 60))
            )
        return found


def _middle(look: object) -> float:
    assert callable(look)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        look()
        times.append((time.perf_counter() - started) * 1000)
    return sorted(times)[2]


def main() -> int:
    """Print the table; with `--check`, 1 if a page takes too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    parser.add_argument("--check", action="store_true", help="fail if a look-up takes too long")
    parser.add_argument("--decisions", type=int, default=2_000_000, help="how many the index holds")
    given = parser.parse_args()
    found = measure(given.decisions)
    for what, number in found.items():
        print(f"{what:<50} {number:>12.2f}")
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=2) + "\n")
    slow = [what for what, number in found.items() if what.startswith("ms ") and number > MAX_MS]
    return 1 if given.check and slow else 0


if __name__ == "__main__":
    sys.exit(main())
