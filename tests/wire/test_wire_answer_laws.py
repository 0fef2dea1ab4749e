"""What holds of every answer, whatever was decided and offered."""

from dataclasses import replace as with_fields

from hypothesis import given
from hypothesis import strategies as st
from wire.allow_oracle import allowed
from wire.answers import (
    BY_CALLER,
    BY_FORM,
    HOLD,
    answer,
)

from extauthz.values.decisions import (
    Allow,
    Challenge,
    ChallengeDemand,
    ChallengeOffer,
    Decision,
    Deny,
    Hold,
    Mutations,
)
from extauthz.values.request import Caller
from extauthz.wire.compose import check_request
from extauthz.wire.decode import decode
from extauthz.wire.encode import encode
from extauthz.wire.sayable import sayable

TCP = BY_CALLER[Caller.TCP]
TEXTS = st.text(max_size=6) | st.sampled_from(["x-a", "x_a", "a\nb", "a\r", "\0", "\ud800", "ok"])
TABLES = st.dictionaries(TEXTS, TEXTS, max_size=2)
LINES = st.dictionaries(TEXTS, st.lists(TEXTS, max_size=2).map(tuple), max_size=2)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.binary(max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
ANY_DECISION: st.SearchStrategy[Decision] = st.one_of(
    st.builds(
        Allow,
        rule=TEXTS,
        mutations=st.builds(
            Mutations,
            headers=TABLES,
            remove_headers=st.frozensets(TEXTS, max_size=2),
            append_headers=LINES,
            response_headers=TABLES,
            append_response_headers=LINES,
            query=TABLES,
            remove_query=st.frozensets(TEXTS, max_size=2),
            metadata=st.dictionaries(TEXTS, JSON, max_size=2),
        ),
    ),
    st.builds(Deny, reason=TEXTS, rule=st.none() | TEXTS, status=st.integers(-1, 700), headers=TABLES, body=TEXTS),
    st.builds(
        Challenge,
        rule=TEXTS,
        demands=st.lists(
            st.builds(
                ChallengeDemand,
                rule=TEXTS,
                factors=st.just(("totp",)),
                max_age=st.floats(),
                binding=TEXTS,
                acr=st.none() | TEXTS,
                description=TEXTS,
            ),
            max_size=2,
        ).map(tuple),
        retry_after=st.none() | st.floats(),
    ),
    st.builds(
        Hold,
        rule=TEXTS,
        demands=st.lists(
            st.builds(with_fields, st.just(HOLD.demands[0]), expires_in=st.floats(), description=TEXTS), max_size=2
        ).map(tuple),
        approvals=st.lists(TEXTS, max_size=2).map(tuple),
        retry_after=st.none() | st.floats(),
    ),
)
ANY_OFFER = st.none() | st.builds(
    ChallengeOffer, location=TEXTS.map(lambda text: "/" + text), cookies=st.lists(TEXTS, max_size=2).map(tuple)
)


@given(ANY_DECISION, st.sampled_from(sorted(BY_FORM)), ANY_OFFER, st.frozensets(st.sampled_from(["x-a", "x-b", "ok"])))
def test_an_answer_is_never_empty_and_allows_only_what_is_allowed(
    decision: Decision, form: str, offer: ChallengeOffer | None, settable: frozenset[str]
) -> None:
    said = answer(decision, request=BY_FORM[form], settable=settable, offer=offer)
    assert said.is_explicit
    assert (said.code == 0) == (isinstance(decision, Allow) and sayable(decision) is decision)
    assert not set(said.upstream) & set(said.removed)
    assert settable <= set(said.upstream) | set(said.removed) or said.code != 0
    ok, denied = said.message.ok_response, said.message.denied_response
    for option in (*ok.headers, *ok.response_headers_to_add, *denied.headers):
        assert not set(option.header.key + option.header.value) & set("\r\n\0")


NAMES = st.sampled_from(["x-a", "X-A", "x_a", "x-b", "cookie", "ok", "x-extauthz-otp", "x_extauthz-a"])
VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=400).map(str.strip) | st.just("")
SAYABLE_ALLOW = st.builds(
    Allow,
    rule=st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
    mutations=st.builds(
        Mutations,
        headers=st.dictionaries(NAMES, VALUES, max_size=3),
        remove_headers=st.frozensets(NAMES, max_size=2),
        append_headers=st.dictionaries(NAMES, st.lists(VALUES, min_size=1, max_size=2).map(tuple), max_size=2),
        response_headers=st.dictionaries(NAMES, VALUES, max_size=2),
        append_response_headers=st.dictionaries(NAMES, st.lists(VALUES, min_size=1, max_size=2).map(tuple), max_size=2),
        query=st.dictionaries(st.sampled_from(["a", "b c", "ä", ""]), VALUES, max_size=2),
        remove_query=st.frozensets(st.sampled_from(["a", "q"]), max_size=2),
        metadata=st.dictionaries(st.sampled_from(["a", "f", "z"]), JSON, max_size=2),
    )
    | st.builds(Mutations, headers=st.dictionaries(NAMES, VALUES, max_size=2)),
).filter(lambda allow: sayable(allow) is allow)
SENT_NAMES = st.sampled_from(["x-a", "x_a", "x-b", "accept", "cookie", "x-extauthz-otp", "x_extauthz_a", "x-c"])
# A comma would make two codes of one, which is refused.
SENT_VALUES = VALUES.filter(lambda value: value.isascii() and "," not in value)


@given(
    allow=SAYABLE_ALLOW,
    sent=st.dictionaries(SENT_NAMES, SENT_VALUES, max_size=4),
    path=st.sampled_from(["/", "/?a=1&%61=2&b%20c=3&q"]),
    decision_id=st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=150),
    settable=st.frozensets(st.sampled_from(["x-a", "x_a", "x-b", "x-d"])),
)
def test_an_allow_is_byte_for_byte_what_its_message_serialises_to(
    allow: Allow, sent: dict[str, str], path: str, decision_id: str, settable: frozenset[str]
) -> None:
    request = decode(check_request(host="a.example", path=path, headers=dict(sent)))
    for asked in (request, TCP):
        payload = encode(allow, request=asked, decision_id=decision_id, revision="sha256:abc", settable=settable)
        assert payload == allowed(
            allow, http=asked.http, decision_id=decision_id, revision="sha256:abc", settable=settable
        )


@given(ANY_DECISION, st.sampled_from(sorted(BY_FORM)), ANY_OFFER)
def test_equal_arguments_give_equal_bytes(decision: Decision, form: str, offer: ChallengeOffer | None) -> None:
    def say() -> bytes:
        return encode(
            decision,
            request=BY_FORM[form],
            decision_id="d",
            revision="r",
            settable=frozenset("cab"),
            offer=offer,
        )

    assert say() == say()
