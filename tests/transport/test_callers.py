"""Who may call: names, patterns, and that both transports read a pattern in one way."""

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from extauthz.policy.workloads import parse
from extauthz.transport.callers import MOST_TOLD, Callers, caller_name, expression_of
from extauthz.transport.listen_config import ListenSettings

segments = st.sampled_from(["ns", "a", "a.b", "a-b", "axb", "sa"])
ids = st.builds(lambda path: "spiffe://td.example/" + "/".join(path), st.lists(segments, min_size=1, max_size=5))
patterns = st.builds(
    lambda path, tail: "spiffe://td.example/" + "/".join([*path, *tail]),
    st.lists(segments | st.just("*"), min_size=1, max_size=4),
    st.sampled_from([[], ["**"]]),
)


@given(patterns, ids)
def test_what_envoy_is_told_of_a_pattern_is_what_it_means(pattern: str, workload: str) -> None:
    assert (re2.fullmatch(expression_of(pattern), workload) is not None) == parse(pattern).fits(workload)
    assert Callers([pattern], setting="listen.tls").admits([workload], []) == parse(pattern).fits(workload)


@pytest.mark.parametrize(
    ("uris", "hosts", "admitted"),
    [
        (["spiffe://td/a"], [], True),
        (["spiffe://td/a"], ["any.example.com"], True),
        ([], ["gw.example.com"], True),
        (["https://other.example.com/x"], [], True),
        (["spiffe://td/a", "spiffe://td/b"], [], False),
        (["spiffe://td/a", "spiffe://td/a"], [], False),
        (["spiffe://td/a", "x"], ["gw.example.com"], False),
        (["spiffe://td/A"], [], False),
        (["SPIFFE://td/a"], [], False),
        (["spiffe://td/any/.."], [], False),
        (["spiffe://td/any//x"], [], False),
        (["spiffe://td/any/x?y"], [], False),
        (["gw.example.com"], [], False),  # a name of the other kind
        ([], ["spiffe://td/a"], False),
        ([], ["spiffe://td/any/x"], False),  # a pattern is of URIs
        ([], [], False),
    ],
)
def test_a_certificate_counts_by_its_one_name(uris: list[str], hosts: list[str], admitted: bool) -> None:
    names = ["spiffe://td/a", "spiffe://td/any/**", "gw.example.com", "https://other.example.com/x"]
    callers = Callers(names, setting="listen.tls")
    assert callers.admits(uris, hosts) is admitted
    assert (
        callers.knows({"peer_uri": [one.encode() for one in uris], "peer_dns": [one.encode() for one in hosts]})
        is admitted
    )
    assert callers.refused == (0 if admitted else 2)


def test_nobody_fills_the_log_by_making_names() -> None:
    callers = Callers(["spiffe://td/a"], setting="listen.tls")
    for number in range(3 * MOST_TOLD):
        assert not callers.admits([f"spiffe://td/{number}"], [])
    assert callers.refused == 3 * MOST_TOLD
    assert len(callers._told) == MOST_TOLD


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            " a",
            "*.example.com",
            "spiffe://td",
            "spiffe://*/a",
            "spiffe://td/a*",
            "spiffe://td/**/a",
            "https://a/,b",
        ),
        *("any text", "gw.example.com:443", "gw..example.com", "gw.example.com.", "-gw.example.com", "gw/x", "gw@x"),
        *("CN=gateway", "192.0.2.7", "2001:db8::1", "gw.exämple.com", "a" * 64, "a." * 127 + "aa", "gw\n"),
        *("SPIFFE://td/a", "://x", "https://", "https://a b", "https://a/\u00e4", "1x://a"),
    ],
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"name|SPIFFE|path|last|domain"):
        caller_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("gateway", "gw.example.com", "GW-1.example.com", "_gw.example.com", "xn--bcher-kva.example", "1.example.com"),
        *("a" * 63, "a." * 126 + "a", "https://gw.example.com/x?y=1#z", "urn+x://a", "spiffe://td/a", "spiffe://td/**"),
    ],
)
def test_what_a_certificate_can_have_is_a_name(name: str) -> None:
    assert caller_name(name) == name


@pytest.mark.parametrize("mode", ["660", "0060", "0999", "0o660", "0777 ", ""])
def test_a_mode_is_written_in_octal_and_lets_the_owner_in(mode: str) -> None:
    with pytest.raises(ValueError, match="not the mode of a socket"):
        ListenSettings.model_validate({"sockets": {"mode": mode}})
    assert ListenSettings.model_validate({"sockets": {"mode": "0600"}}).made_sockets.mode == 0o600
