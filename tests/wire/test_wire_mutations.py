"""What an allow changes in the request, on real requests."""

from urllib.parse import parse_qsl

from hypothesis import given
from hypothesis import strategies as st
from wire.answers import answer

from extauthz.values.decisions import Allow, Deny, Mutations
from extauthz.values.request import RequestView
from extauthz.wire.compose import check_request, tcp_check_request
from extauthz.wire.decode import decode
from extauthz.wire.mutations import BESIDE, OVERWRITE

SETTABLE = frozenset({"x-authz-subject", "x-tier"})


def request(path: str = "/", **headers: str) -> RequestView:
    return decode(
        check_request(host="a.example", path=path, headers={k.replace("__", "-"): v for k, v in headers.items()})
    )


def allow(**mutations: object) -> Allow:
    return Allow(rule="r", mutations=Mutations(**mutations))  # type: ignore[arg-type]  # fields by name


def test_a_header_is_overwritten_and_its_value_is_text() -> None:
    said = answer(allow(headers={"x-authz-subject": "u1"}, response_headers={"X-Seen": "1"}), settable=SETTABLE)
    for option in (*said.message.ok_response.headers, *said.message.ok_response.response_headers_to_add):
        assert option.append_action == option.OVERWRITE_IF_EXISTS_OR_ADD
        assert option.header.value
        assert not option.header.raw_value
    assert said.upstream == {"x-authz-subject": "u1", "x-extauthz-decision-id": "d-1"}
    assert [option.header.key for option in said.message.ok_response.response_headers_to_add] == [
        "x-seen",
        "x-extauthz-decision-id",
    ]


def test_every_settable_name_is_set_or_removed_each_time_and_never_both() -> None:
    """Else a header that rule A sets passes untouched from the client when rule B decides."""
    assert answer(allow(), settable=SETTABLE).removed == ["x-authz-subject", "x-tier"]
    said = answer(allow(headers={"x-tier": "gold"}), settable=SETTABLE)
    assert (said.upstream["x-tier"], said.removed) == ("gold", ["x-authz-subject"])
    both = answer(allow(headers={"x-tier": "gold"}, remove_headers=frozenset({"x-tier"})), settable=SETTABLE)
    assert (both.upstream["x-tier"], both.removed) == ("gold", ["x-authz-subject"])


def test_settable_names_in_other_spellings_of_the_client_are_removed() -> None:
    sent = request(x_authz_subject="evil", x__authz_subject="evil", x_tier="gold", x_other="kept")
    said = answer(allow(headers={"x-authz-subject": "u1"}), request=sent, settable=SETTABLE)
    assert said.removed == ["x-authz_subject", "x-tier", "x_authz_subject", "x_tier"]


def test_our_own_names_never_come_from_the_client() -> None:
    sent = request(
        x__extauthz__otp="123456",
        x_extauthz_subject="evil",
        x__extauthz__decision__id="forged",
        x_extauthz_decision_id="f",
    )
    said = answer(allow(), request=sent)
    assert said.removed == ["x-extauthz-otp", "x_extauthz_decision_id", "x_extauthz_subject"]
    assert said.upstream == {"x-extauthz-decision-id": "d-1"}


def test_a_header_that_a_rule_removes_goes_in_every_spelling() -> None:
    said = answer(allow(remove_headers=frozenset({"X-Internal"})), request=request(x_internal="1"))
    assert said.removed == ["x-internal", "x_internal"]


def test_what_is_appended_comes_behind_what_the_client_sent() -> None:
    """In one line that overwrites: some Envoys take an action that appends to a request for one that does not."""
    sent = decode(
        check_request(
            host="a.example", headers={"x-scope": ["c", "", "d"], "cookie": "s=1", "x_scope": "e"}, raw_headers=True
        )
    )
    said = answer(
        allow(append_headers={"X-Scope": ("a", "b"), "cookie": ("t=2",), "via": ("1.1 us",)}),
        request=sent,
        settable=SETTABLE,
    )
    assert said.upstream == {
        "x-scope": "c, d, a, b",
        "cookie": "s=1; t=2",
        "via": "1.1 us",
        "x-extauthz-decision-id": "d-1",
    }
    assert {option.append_action for option in said.message.ok_response.headers} == {OVERWRITE}
    assert said.removed == ["x-authz-subject", "x-tier", "x_scope"]


def test_what_some_policy_can_set_is_not_the_clients_when_another_appends_to_it() -> None:
    sent = request(x__tier="gold", x_tier="gold")
    said = answer(allow(append_headers={"x-tier": ("silver", "late")}), request=sent, settable=SETTABLE)
    assert said.upstream["x-tier"] == "silver, late"
    assert said.removed == ["x-authz-subject", "x_tier"]


def test_what_envoy_withholds_is_not_appended_to() -> None:
    """It can't be seen, and an action that appends would leave it to the client to be first."""
    said = answer(allow(append_headers={"x-scope": ("a",)}), request=request(x__other="1"), settable=SETTABLE)
    assert said.upstream["x-scope"] == "a"
    assert {option.append_action for option in said.message.ok_response.headers} == {OVERWRITE}


def test_a_cookie_is_appended_to_those_of_the_service() -> None:
    said = answer(allow(append_response_headers={"set-cookie": ("a=1; Path=/", "b=2")}))
    assert [
        (option.header.key, option.header.value, option.append_action)
        for option in said.message.ok_response.response_headers_to_add
    ] == [
        ("set-cookie", "a=1; Path=/", BESIDE),
        ("set-cookie", "b=2", BESIDE),
        ("x-extauthz-decision-id", "d-1", OVERWRITE),
    ]


def test_dynamic_metadata_is_the_check_responses_own() -> None:
    said = answer(allow(metadata={"route": {"tier": "gold", "list": [1, None, True, "x", 0.5, []]}, "n": -2, "s": ""}))
    assert said.metadata["route"] == {"tier": "gold", "list": [1, None, True, "x", 0.5, []]}
    assert (said.metadata["n"], said.metadata["s"]) == (-2, "")
    assert "dynamic_metadata" not in said.message.ok_response.DESCRIPTOR.fields_by_name


def test_query_parameters_can_not_smuggle_others() -> None:
    said = answer(allow(query={"amount": "1&admin=true#x", "a b": "é"}))
    assert [(one.key, one.value) for one in said.message.ok_response.query_parameters_to_set] == [
        ("amount", "1%26admin%3Dtrue%23x"),
        ("a%20b", "%C3%A9"),
    ]


def test_a_parameter_that_the_client_escaped_otherwise_is_removed() -> None:
    sent = request("/?am%6Funt=9&amount=8&a+b=1&%61%20b=2&other=3")
    said = answer(allow(query={"amount": "1"}, remove_query=frozenset({"a b"})), request=sent)
    assert list(said.message.ok_response.query_parameters_to_remove) == ["%61%20b", "a%20b", "a+b", "am%6Funt"]


def test_nothing_is_set_on_what_is_denied() -> None:
    said = answer(Deny(reason="x"), request=request(x_tier="1"), settable=SETTABLE)
    assert not said.message.HasField("ok_response")


def test_a_tcp_allow_is_explicit() -> None:
    said = answer(allow(), request=decode(tcp_check_request(source_ip="10.0.0.1")))
    assert (said.code, said.is_explicit) == (0, True)


def envoy(raw_query: str, said_set: list[tuple[str, str]], said_removed: list[str]) -> list[tuple[str, str]]:
    """The parameters that an upstream reads after Envoy has set and removed by raw name, as it does."""
    pairs = [pair.partition("=")[::2] for pair in raw_query.split("&") if pair]
    names = dict(said_set)
    kept = [(name, value) for name, value in pairs if name not in names and name not in said_removed]
    return parse_qsl("&".join(f"{name}={value}" for name, value in [*kept, *said_set]), keep_blank_values=True)


@given(
    st.lists(st.text(alphabet="ab%612=+", max_size=6), max_size=4).map("&".join),
    st.text(alphabet="ab &=", max_size=3),
)
def test_the_upstream_reads_the_value_that_was_set_and_no_other(raw_query: str, value: str) -> None:
    said = answer(allow(query={"a": value}, remove_query=frozenset({"b"})), request=request(f"/?{raw_query}"))
    ok = said.message.ok_response
    read = envoy(
        raw_query, [(one.key, one.value) for one in ok.query_parameters_to_set], list(ok.query_parameters_to_remove)
    )
    assert [pair for pair in read if pair[0] in ("a", "b")] == [("a", value)]
