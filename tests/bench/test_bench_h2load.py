"""What h2load prints and writes is read as it is meant."""

import pytest

from bench.harness.h2load import Load, LoadFailed, parse_log, parse_summary, percentile, percentiles

PRINTED = """\
starting benchmark...
Main benchmark duration is over for thread #0. Stopping all clients.

finished in 3.00s, 5299.50 req/s, 626.35KB/s
requests: 10610 total, 10602 started, 10600 done, 10599 succeeded, 1 failed, 0 errored, 0 timeout
status codes: 10599 2xx, 0 3xx, 0 4xx, 1 5xx
traffic: 1.22MB (1282760) total, 491.69KB (503488) headers (space savings 94.44%), 402.50KB (412160) data
                     min         max         mean         sd        +/- sd
time for request:      240us     27.66ms      1.40ms      1.23ms    93.41%
"""


def test_the_summary_tells_rate_calls_and_bytes() -> None:
    summary = parse_summary(PRINTED)
    assert (summary.rate, summary.done, summary.succeeded, summary.failed) == (5299.5, 10600, 10599, 1)
    assert summary.body_bytes == 412160


@pytest.mark.parametrize("line", ["finished in", "requests:", "traffic:"])
def test_what_is_no_summary_is_told(line: str) -> None:
    rest = "\n".join(one for one in PRINTED.splitlines() if not one.startswith(line))
    with pytest.raises(LoadFailed, match="can't read what it printed"):
        parse_summary(rest)


def test_the_log_counts_what_was_answered_well() -> None:
    lines = ["1795285883156008\t200\t617\n", "1795285883156009\t503\t3\n", "1795285883156010\t200\t240\n"]
    assert parse_log([*lines, "1795285883156011\t-1\t0\n"]) == [240.0, 617.0]


def test_a_percentile_is_a_value_that_was_measured() -> None:
    taken = [float(value) for value in range(1, 101)]
    assert [percentile(taken, share) for share in (0.5, 0.9, 0.99, 0.999, 1.0)] == [50, 90, 99, 100, 100]
    assert percentile([7.0], 0.5) == 7
    assert percentiles(taken)["p99.9"] == 100


def test_a_rate_is_shared_by_the_connections() -> None:
    assert "--rps=62.5" in Load(connections=8, seconds=1.0, rate=500).arguments()
    assert not any(word.startswith("--rps") for word in Load(seconds=1.0).arguments())


def test_it_ends_after_so_many_seconds_or_so_many_calls() -> None:
    assert "-D" in Load(seconds=1.0).arguments()
    assert {"-n", "500"} <= set(Load(seconds=1.0, calls=500).arguments())
    assert "-D" not in Load(seconds=1.0, calls=500).arguments()
