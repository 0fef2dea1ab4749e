"""The lines of many records, of every kind and in either form: one of each, as the general way writes it."""

import json

from audit.auditing import START, decision
from audit.making_lines import records
from briefs import brief_of
from hypothesis import given
from hypothesis import strategies as st

from extauthz.record.general_lines import GeneralLines
from extauthz.record.keeping import Record
from extauthz.record.life import LifeRecord
from extauthz.record.masking import Keep
from extauthz.record.record_lines import RecordLines
from extauthz.values.identity import User

KEEP = Keep()
EVENT = LifeRecord(kind="keys.changed", at_ns=START)


@given(st.lists(st.one_of(records, records.map(brief_of), st.just(EVENT)), max_size=5))
def test_each_has_its_line_in_its_place(batch: list[Record]) -> None:
    assert RecordLines(KEEP).of_each(batch) == [GeneralLines(KEEP).of(record) for record in batch]


def test_what_can_not_be_told_costs_no_other_its_line() -> None:
    """Neither in brief nor in full."""
    deep: dict[str, object] = {"sub": "a"}
    for _ in range(5_000):
        deep = {"sub": "a", "act": deep}
    odd = decision(1, user=User(sub="u", iss="i", actor=deep)), decision(2, user=User(sub="lone \ud800", iss="i"))
    made = RecordLines(KEEP).of_each([decision(0), *odd, *map(brief_of, odd), EVENT, brief_of(decision(3))])
    lines = [json.loads(line + b"}") for line in made]
    assert [line.get("decision_id") for line in lines] == ["d-0", "d-1", "d-2", "d-1", "d-2", None, "d-3"]
    for cut, spoken in (lines[1:3], lines[3:5]):
        assert (cut["decision"], cut["detail"], cut.get("identity")) == ("allow", "record cut: RecursionError", None)
        assert spoken["identity"]["user"]["sub"] == "lone ?"
