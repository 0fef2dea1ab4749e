"""Configuration as text: read back as the same, with comments where they belong."""

import pytest
import yaml
from envoy_data_plane.envoy.config.core.v3 import Address, Pipe, SocketAddress
from envoy_data_plane.envoy.config.endpoint.v3 import Endpoint, LbEndpoint, LocalityLbEndpoints
from envoy_data_plane.envoy.config.route.v3 import RouteAction
from envoy_data_plane.envoy.extensions.filters.http.ext_authz.v3 import ExtAuthz
from hypothesis import given
from hypothesis import strategies as st

from extauthz.envoy.notes import Note, Noted, Notes, Value, plain
from extauthz.envoy.yaml_text import WIDTH, render

WORDS = st.sampled_from(
    ["a", "yes", "No", "null", "~", "0s", "1e3", "0x10", "12", "1.5", "", " a", "a: b", "a #b", "*", "@type", "- a"]
)
TEXTS = (
    WORDS | st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(["\x85", "\u2028", "\x7f", "\ufffe"])
)
SCALARS = TEXTS | st.booleans() | st.integers(-(2**31), 2**31) | st.floats(allow_nan=False, allow_infinity=False)
SAID = ["why", "what goes wrong without it " * 9, "of /a\nb", "of /a\rb: {}", "of /a\u2028b: {}"]
NOTES = st.builds(Note, st.sampled_from(SAID), st.booleans())


def _mappings(values: st.SearchStrategy[Value]) -> st.SearchStrategy[Noted]:
    fields = st.dictionaries(TEXTS, values, min_size=1, max_size=4)
    return st.builds(Noted, fields, st.dictionaries(TEXTS, NOTES, max_size=2))


TREES = st.recursive(
    _mappings(SCALARS),
    lambda inner: _mappings(SCALARS | inner | st.lists(inner, max_size=3) | st.lists(SCALARS, max_size=3)),
    max_leaves=12,
)


@given(TREES)
def test_what_is_written_is_read_back_as_the_same(value: Noted) -> None:
    assert yaml.safe_load(render(value, head="A file.")) == plain(value)


def test_a_comment_stands_over_its_field_or_beside_it() -> None:
    value = Noted({"a": 1, "b": [Noted({"c": 2}, {"c": Note("of c")})]}, {"a": Note("of a", beside=True)})
    assert render(value, head="A file.\n\nOf two paragraphs.").splitlines() == [
        "# A file.",
        "#",
        "# Of two paragraphs.",
        "",
        "a: 1   # of a",
        "",
        "b:",
        "  # of c",
        "  - c: 2",
    ]


def test_a_long_comment_is_broken_between_words() -> None:
    text = render(Noted({"a": 1}, {"a": Note("word " * 100)}), head="A file.")
    lines = [line for line in text.splitlines() if line.startswith("# word")]
    assert len(lines) > 3
    assert all(len(line) <= WIDTH for line in lines)


def test_a_field_that_is_said_something_of_is_written_though_it_is_envoys_default() -> None:
    notes = Notes()
    quiet, loud = ExtAuthz(), notes.on(ExtAuthz(), failure_mode_allow="no answer is no", clear_route_cache=None)
    assert plain(notes.tree(quiet)) == {}
    assert plain(notes.tree(loud)) == {"failure_mode_allow": False, "clear_route_cache": False}


def test_what_has_been_said_is_not_said_again_but_for_marks_of_what_is_to_be_changed() -> None:
    notes = Notes()
    both = [
        notes.on(Address(pipe=Pipe(path="/a")), pipe="why"),
        notes.on(Address(socket_address=SocketAddress(address="b", port_value=0)), socket_address="why"),
        notes.on(Address(pipe=Pipe(path="/c")), pipe="Yours: where"),
        notes.on(Address(pipe=Pipe(path="/d")), pipe="Yours: where"),
    ]

    ends = LocalityLbEndpoints(lb_endpoints=[LbEndpoint(endpoint=Endpoint(address=one)) for one in both])
    text = render(notes.tree(ends), head="A file.")
    assert (text.count("# why"), text.count("# Yours: where")) == (1, 2)
    assert "port_value: 0" in text  # a port that is said is not left out for being Envoy's default


def test_nothing_is_said_of_a_field_that_is_not_there() -> None:
    with pytest.raises(KeyError, match="RouteAction has no field timeuot"):
        Notes().on(RouteAction(), timeuot="misspelt")
