"""Every question gets an answer, and no chain of questions goes on for ever."""

import asyncio
from collections.abc import Mapping

import pytest
from lookup.deciding import until

from extauthz.errors import IssuerUnavailable
from extauthz.identity.lookups import Answer, Answers, Awaiting, Done, FetchKeys, Introspect, Lookup, Unreachable
from extauthz.lookup.inquiries import MOST_ROUNDS, NO_INQUIRIES, Inquiries


def awaiting(*names: str) -> Awaiting:
    return Awaiting(lookups=tuple(FetchKeys(source=name) for name in names))


def test_whatever_goes_wrong_is_an_answer_and_no_yes() -> None:
    async def broken(_: Lookup) -> Answer:
        raise ZeroDivisionError("secret")

    inquiries = Inquiries({FetchKeys: broken})
    assert asyncio.run(inquiries.ask(FetchKeys(source="idp"))) == Unreachable(detail="ZeroDivisionError")
    nobody = Unreachable(detail="nobody can be asked about `idp`")
    assert asyncio.run(inquiries.ask(Introspect(source="idp", token="t"))) == nobody
    assert asyncio.run(NO_INQUIRIES.ask(FetchKeys(source="idp"))) == nobody


def test_all_questions_of_a_round_are_asked_at_once_and_their_answers_kept_apart() -> None:
    asked: list[str] = []

    async def keys(lookup: Lookup) -> Answer:
        asked.append(lookup.source)
        await until(lambda: len(asked) == 2)
        return Done() if lookup.source == "a" else Unreachable(detail=lookup.source)

    def identify(answers: Answers) -> Mapping[Lookup, Answer]:
        return dict(answers)

    found = asyncio.run(Inquiries({FetchKeys: keys}).until_known(awaiting("a", "b"), identify))
    assert found == {FetchKeys(source="a"): Done(), FetchKeys(source="b"): Unreachable(detail="b")}


def test_answers_may_lead_to_other_questions_but_not_for_ever() -> None:
    rounds: list[int] = []

    async def keys(_: Lookup) -> Answer:
        return Done()

    def ends_after(last: int) -> str:
        def identify(answers: Answers) -> str | Awaiting:
            rounds.append(len(answers))
            return "known" if len(answers) == last else awaiting(f"source-{len(answers)}")

        return asyncio.run(Inquiries({FetchKeys: keys}).until_known(awaiting("first"), identify))

    assert ends_after(MOST_ROUNDS) == "known"
    assert rounds == list(range(1, MOST_ROUNDS + 1))
    with pytest.raises(IssuerUnavailable, match="is asked again and again"):
        ends_after(MOST_ROUNDS + 1)
