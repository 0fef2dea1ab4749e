"""YAML with places: what is read, what is refused, and where things stand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.policy.problems import PolicyErrors
from extauthz.policy.yaml_source import MAX_CHARACTERS, Document, decode, load_documents


def one(text: str) -> Document:
    (document,) = load_documents(text, "f.yaml")
    return document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("NO", "NO"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("-5", -5),
        ("1e3", 1000.0),
        (".5", 0.5),
        (".inf", ".inf"),
        ("2026-11-21", "2026-11-21"),
        ("'5'", "5"),
        ("=", "="),
        ("<<", "<<"),
    ],
)
def test_plain_scalars_are_read_by_the_core_schema(text: str, value: object) -> None:
    read = one(f"x: {text}").value["x"]
    assert read == value
    assert type(read) is type(value)


def test_every_value_and_key_has_its_place() -> None:
    document = one("a:\n  - b: 1\n    c: [x, {d: y}]\ne: |\n  text\n")
    assert document.value == {"a": [{"b": 1, "c": ["x", {"d": "y"}]}], "e": "text\n"}
    assert document.place(("a", 0, "b")) == (2, 8)
    assert document.key_place(("a", 0, "b")) == (2, 5)
    assert document.place(("a", 0, "c", 1, "d")) == (3, 16)
    assert document.key_place(("a", 0, "c", 1, "d")) == (3, 13)
    assert document.key_place(("e",)) == (4, 1)
    assert document.place(()) == (1, 1)
    assert document.key_place(()) == (1, 1)
    assert document.place(("a", 0, "nothing")) == (2, 5)


def test_documents_of_one_file_have_their_own_places() -> None:
    first, second = load_documents("a: 1\n---\n---\nb: 2\n", "f.yaml")
    assert (first.value, second.value) == ({"a": 1}, {"b": 2})
    assert second.place(("b",)) == (4, 4)


WORDS = st.lists(st.text(alphabet="abcé!#'\"\\&:[]{}*,-%0", min_size=1, max_size=6), min_size=1, max_size=5)


def quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def double_quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("é", "\\u00e9").replace("\n", "\\n")
    return '"' + escaped.replace("a", "\\x61") + '"'


@given(WORDS, st.sampled_from(("single", "double", "literal")))
def test_a_place_within_a_scalar_is_that_of_the_same_character(words: list[str], style: str) -> None:
    value = ("\n" if style == "literal" else " ").join(f"w{word}" for word in words)
    block = "".join(f"    {line}\n" for line in value.split("\n"))
    text = {"single": quoted(value), "double": double_quoted(value), "literal": f"|-\n{block}"}[style]
    document = one(f"# first\nx: {text}\n")
    assert document.value == {"x": value}
    source = f"# first\nx: {text}\n".split("\n")
    for number, line in enumerate(value.split("\n"), start=1):
        for column, character in enumerate(line, start=1):
            if character.isspace():
                continue
            at_line, at_column = document.place_in(("x",), number, column)
            there = source[at_line - 1][at_column - 1 :]
            escapes = {"é": "\\u00e9", "a": "\\x61", '"': '\\"', "\\": "\\\\"} if style == "double" else {}
            assert there.startswith(escapes.get(character, character))


def refusal(text: str) -> PolicyErrors | None:
    try:
        load_documents(text, "f.yaml")
    except PolicyErrors as error:
        return error
    return None


@given(st.text(max_size=200) | st.text(alphabet="ab:-[]{},&*!|>'\"%#?\n \t", max_size=60))
def test_any_text_is_read_or_refused_with_a_place_in_one_line(text: str) -> None:
    error = refusal(text)
    for problem in () if error is None else error.problems:
        assert problem.file == "f.yaml"
        assert problem.line >= 1
        assert "\n" not in str(problem)
        problem.picture().encode()


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"a: \xff\n", "f.yaml:1:4: not UTF-8; save it as UTF-8"),
        ("é: ä\nb: \xff".encode("latin-1"), "f.yaml:1:1: not UTF-8; save it as UTF-8"),
        ("a: é\nb: ".encode() + b"\xc3", "f.yaml:2:4: not UTF-8; save it as UTF-8"),
        ("a: 1".encode("utf-16"), "f.yaml:1:1: not UTF-8; save it as UTF-8"),
        (b"\xef\xbb\xbfa: 1", "f.yaml:1:1: starts with a byte order mark; save it as UTF-8 without one"),
        (b"a: \x00b", "f.yaml:1:4: a character that YAML does not allow; remove it"),
        (b"a: " + b"x" * MAX_CHARACTERS, f"f.yaml: longer than {MAX_CHARACTERS} characters; split it"),
        (b"a: 99999999999999999999", "f.yaml:1:4: the number does not fit 64 bits; quote it if it is text"),
        (b"? [a]\n: b", "f.yaml:1:3: a key must be text; quote it"),
        (b"a: !!str 5", "f.yaml:1:4: the tag `tag:yaml.org,2002:str` is refused; remove it; quote what must be text"),
    ],
)
def test_what_is_refused_is_told_in_one_line(raw: bytes, told: str) -> None:
    with pytest.raises(PolicyErrors) as caught:
        load_documents(decode(raw, "f.yaml"), "f.yaml")
    assert str(caught.value) == told


def test_what_a_document_says_can_not_move_a_terminal() -> None:
    with pytest.raises(PolicyErrors) as caught:
        load_documents('"a\\e[2Jb": 1\n"a\\e[2Jb": 2\n', "f.yaml")
    assert "\x1b" not in caught.value.render()
