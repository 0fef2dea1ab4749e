"""What every store promises of the ends of audit chains: they only move forward, until they are of interest no more."""

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stepup.proofs import NOW
from store.one_loop import crowd, run

from extauthz.store.audit_heads import AuditHead
from extauthz.store.protocol import SWEEP_SECONDS, Store

HEAD = AuditHead(writer="00112233445566ff", seq=7, hash="a" * 64, at=NOW, until=NOW + 1000, file="/var/ü/audit.jsonl")


def put(store: Store, *heads: AuditHead, now: float = NOW) -> None:
    for head in heads:
        run(store.put_audit_head(head, now=now))


def test_an_end_comes_back_as_it_was(store: Store) -> None:
    assert run(store.audit_heads(now=NOW)) == ()
    other = replace(HEAD, writer="f" * 16, seq=2**40, at=NOW - 0.125, file="")
    put(store, HEAD, other)
    assert run(store.audit_heads(now=NOW)) == (other, HEAD)


def test_an_end_moves_forward_and_never_back(store: Store) -> None:
    farther = replace(HEAD, seq=8, hash="b" * 64, at=NOW + 1, until=NOW + 2000, file="other")
    put(store, HEAD, farther, HEAD, replace(farther, hash="c" * 64))
    assert run(store.audit_heads(now=NOW)) == (farther,)


def test_numbers_are_compared_as_numbers(store: Store) -> None:
    put(store, replace(HEAD, seq=9), replace(HEAD, seq=10), replace(HEAD, seq=9))
    assert [head.seq for head in run(store.audit_heads(now=NOW))] == [10]


def test_an_end_is_forgotten_when_it_says(store: Store) -> None:
    put(store, HEAD)
    assert run(store.audit_heads(now=NOW + 999.9)) == (HEAD,)
    assert run(store.audit_heads(now=NOW + 1000)) == ()
    later = NOW + 1000 + SWEEP_SECONDS
    put(store, replace(HEAD, writer="0" * 16, until=later + 1), now=later)
    assert [head.writer for head in run(store.audit_heads(now=later))] == ["0" * 16]


def test_of_many_at_once_the_farthest_stays(store: Store) -> None:
    run(crowd(store.put_audit_head(replace(HEAD, seq=seq), now=NOW) for seq in (3, 9, 1, 12, 5)))
    assert [head.seq for head in run(store.audit_heads(now=NOW))] == [12]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 2**53 - 1)), max_size=8))
def test_the_ends_are_the_farthest_of_each_writer(store: Store, moves: list[tuple[str, int]]) -> None:
    known = {head.writer: head.seq for head in run(store.audit_heads(now=NOW))}
    for name, seq in moves:
        writer = name * 16
        put(store, replace(HEAD, writer=writer, seq=seq))
        known[writer] = max(known.get(writer, 0), seq)
    assert {head.writer: head.seq for head in run(store.audit_heads(now=NOW))} == known
