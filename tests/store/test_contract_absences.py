"""Absences of approvers: what every store promises of them."""

import pytest
from stepup.proofs import NOW
from store.one_loop import run
from store.opening import absence

from extauthz.store import approvals as protocol
from extauthz.store.protocol import Store


def test_absences_are_kept_until_they_are_over(store: Store) -> None:
    first, later = absence("x", delegate="dave", note="\ud800"), absence("y", since=NOW + 30, until=NOW + 90)
    assert run(store.put_absence(later, now=NOW))
    assert run(store.put_absence(first, now=NOW))
    assert run(store.absences(now=NOW)) == (first, later)
    assert run(store.absences(now=NOW + 60)) == (later,)
    longer = absence("x", until=NOW + 500)
    assert run(store.put_absence(longer, now=NOW))
    assert run(store.absences(now=NOW + 60)) == (longer, later)
    assert run(store.end_absence("x", now=NOW + 60))
    assert not run(store.end_absence("x", now=NOW + 60))
    assert not run(store.end_absence("y", now=NOW + 90)), "it was over"
    assert run(store.absences(now=NOW)) == ()


def test_there_are_so_many_absences_and_no_more(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("memory_approvals", "sqlite_approvals", "redis_approvals"):
        monkeypatch.setattr(f"extauthz.store.{module}.MOST_ABSENCES", 2)
    assert [run(store.put_absence(absence(id_), now=NOW)) for id_ in ("x", "y", "z", "y")] == [True, True, False, True]
    assert run(store.put_absence(absence("z", until=NOW + 99), now=NOW + 60)), "the others are over"
    assert protocol.MOST_ABSENCES > 2
