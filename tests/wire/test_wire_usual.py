"""The quick way of the most frequent answers: what was said of an allow is remembered, and serves no other."""

from hypothesis import given
from hypothesis import strategies as st
from wire.allow_oracle import allowed

from extauthz.values.decisions import Allow, Decision, Mutations, denial
from extauthz.values.request import HttpRequest, RequestView
from extauthz.wire.compose import check_request
from extauthz.wire.decode import decode
from extauthz.wire.encode import encode, say, usual_of

REVISION = "sha256:0"
SETTABLE = frozenset({"x-user", "x-team"})
REQUEST = decode(check_request(method="GET", host="a.example", path="/", headers={"accept": "*/*"}))
TEXTS = st.sampled_from(["", "a", "alice", "b\n", "\ud800", "é", "v" * 600])
NAMES = st.sampled_from(["x-user", "x-team", "X-User", "x_user", "accept", "a b", "x-extauthz-decision-id"])
HEADERS = st.dictionaries(NAMES, TEXTS, max_size=3)
ALLOWS = st.builds(
    Allow,
    rule=st.sampled_from(["p/a", "p/b", "\ud800"]),
    mutations=st.builds(Mutations, headers=HEADERS)
    | st.builds(Mutations, headers=HEADERS, remove_headers=st.just(frozenset({"accept"})))
    | st.builds(Mutations, response_headers=HEADERS),
)
DECISIONS: st.SearchStrategy[Decision] = ALLOWS | st.just(denial("no-rule-allows"))


def plainly(decision: Decision, request: RequestView, id_: str, revision: str, settable: frozenset[str]) -> bytes:
    payload, _ = say(decision, request=request, decision_id=id_, revision=revision, settable=settable)
    return payload


def say_usual(
    decision: Decision, request: RequestView, id_: str, revision: str, settable: frozenset[str]
) -> bytes | None:
    usual = usual_of(decision, request, len(id_), revision, settable)
    return None if usual is None else id_.encode().join(usual)


def http() -> HttpRequest:
    assert REQUEST.http is not None
    return REQUEST.http


@given(
    decisions=st.lists(DECISIONS, min_size=1, max_size=4),
    asked=st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from(["d-1", "d-2", "d-333"]),
            st.sampled_from([REVISION, "sha256:1"]),
            st.sampled_from([SETTABLE, frozenset({"x-user"}), frozenset({"x_user"})]),
        ),
        min_size=1,
        max_size=12,
    ),
)
def test_whatever_was_said_before_an_answer_says_what_it_would_without(
    decisions: list[Decision], asked: list[tuple[int, str, str, frozenset[str]]]
) -> None:
    for number, id_, revision, settable in asked:
        decision = decisions[number % len(decisions)]
        usual = say_usual(decision, REQUEST, id_, revision, settable)
        assert usual is None or usual == plainly(decision, REQUEST, id_, revision, settable)
        assert usual == say_usual(decision, REQUEST, id_, revision, settable), "and so again"


def test_of_many_allows_that_come_again_each_gets_its_own_answer() -> None:
    # More than are remembered, so that some have the place of others.
    many = [Allow(rule=f"p/{number}", mutations=Mutations(headers={"x-user": f"u{number}"})) for number in range(9_000)]
    for _ in range(2):
        for number, allow in enumerate(many):
            said = say_usual(allow, REQUEST, f"d-{number:05}", REVISION, SETTABLE)
            assert said is not None
            if number % 7 == 0:  # the oracle is slow
                assert said == allowed(
                    allow, http=http(), decision_id=f"d-{number:05}", revision=REVISION, settable=SETTABLE
                )
            else:
                assert f"p/{number}".encode() in said
                assert f"u{number}".encode() in said


def test_an_allow_that_went_is_not_taken_for_the_one_in_its_place() -> None:
    for number in range(200):  # each is likely to be where the one before was
        assert f"p/{number}".encode() in encode(
            Allow(rule=f"p/{number}"), request=REQUEST, decision_id="d", revision=REVISION, settable=SETTABLE
        )


def test_a_header_that_an_upstream_could_take_for_one_of_these_is_looked_at_each_time() -> None:
    allow = Allow(rule="p/a", mutations=Mutations(headers={"x-user": "alice"}))
    spelled = decode(check_request(method="GET", host="a.example", path="/", headers={"x_user": "mallory"}))
    assert say_usual(allow, REQUEST, "d-1", REVISION, SETTABLE) is not None
    assert say_usual(allow, spelled, "d-1", REVISION, SETTABLE) is None
