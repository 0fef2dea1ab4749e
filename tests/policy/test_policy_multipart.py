"""Forms with files: one reading, or an error (RFC 7578)."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy.making import http

from extauthz import cel
from extauthz.policy.body_views import multipart_of
from extauthz.policy.multipart import MOST_PARTS

TYPE = "multipart/form-data; boundary=XX"
FIELD = b'Content-Disposition: form-data; name="a"\r\n\r\n1'
FILE = b'Content-Disposition: form-data; name="doc"; filename="x.pdf"\r\nContent-Type: application/pdf\r\n\r\n%PDF\r\n'


def form(*parts: bytes, boundary: bytes = b"XX") -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"


def read(body: bytes, content_type: str = TYPE, **headers: str) -> dict[str, Any]:
    sent = {"content-type": content_type, **{name.replace("_", "-"): value for name, value in headers.items()}}
    request = http(method="POST", body=body, headers=sent).http
    assert request is not None
    return dict(multipart_of(request))


def field(headers: str, content: bytes = b"1") -> bytes:
    return form(headers.encode() + b"\r\n\r\n" + content)


def test_fields_are_text_and_files_are_what_is_said_of_them() -> None:
    assert read(form(FIELD, FILE)) == {
        "a": "1",
        "doc": {"filename": "x.pdf", "content_type": "application/pdf", "size": 6},
    }


def test_what_clients_send_is_read() -> None:
    boundary = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
    body = form(
        'Content-Disposition: form-data; name="näme"\r\n\r\nä\r\n\r\n--'.encode(),
        b'content-disposition:form-data;name="empty"\r\n\r\n',
        b'Content-Disposition: form-data; name="none"; filename=""\r\nContent-Type: application/octet-stream\r\n\r\n',
        b'Content-Disposition: form-data; name="f"; filename="100%.txt"\r\n\r\nabc',
        b'Content-Type: text/plain; charset=UTF-8\r\nContent-Disposition: form-data; name="t"\r\n\r\nx',
        boundary=boundary.encode(),
    )
    assert read(body, f'multipart/form-data; boundary="{boundary}"') == {
        "näme": "ä\r\n\r\n--",
        "empty": "",
        "none": {"filename": "", "content_type": "application/octet-stream", "size": 0},
        "f": {"filename": "100%.txt", "size": 3},
        "t": "x",
    }
    assert read(form(FIELD)[:-2]) == {"a": "1"}
    assert read(b"--XX--") == {}


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=XX; boundary=YY",
        "multipart/form-data; boundary=XX; Boundary=XX",
        "multipart/form-data; boundary=XX; charset=utf-8",
        "multipart/form-data; boundary*=XX",
        "multipart/form-data; boundary=X X",
        'multipart/form-data; boundary="XX "',
        'multipart/form-data; boundary="X\\X"',
        "multipart/form-data; boundary='XX'",
        "multipart/form-data boundary=XX",
        "multipart/form-data; boundary=XX;x",
        "multipart/mixed; boundary=XX",
        "multipart/form-data2; boundary=XX",
        "application/json; boundary=XX",
        "multipart/form-data; boundary=" + "X" * 71,
    ],
)
def test_an_ambiguous_boundary_is_an_error(content_type: str) -> None:
    with pytest.raises(cel.EvalError):
        read(form(FIELD), content_type)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--XX",
        b"--XX\r\n",
        form(FIELD)[:-3],  # no end of the close delimiter
        form(FIELD)[:-6],
        form(FIELD)[:-8],
        b"preamble\r\n" + form(FIELD),
        b"\r\n" + form(FIELD),
        form(FIELD) + b"epilogue",
        form(FIELD) + b"\r\n",
        form(FIELD) + form(FIELD),
        form(FIELD).replace(b"\r\n", b"\n"),
        form(FIELD).replace(b"1\r\n--XX--", b"1\n--XX--"),
        form(FIELD).replace(b"1\r\n--XX--", b"1--XX--"),
        form(FIELD).replace(b"--XX\r\n", b"--XX \r\n"),
        form(FIELD).replace(b"--XX\r\n", b"--XX\n"),
        form(FIELD).replace(b"--XX\r\n", b"--XXY\r\n"),
        form(FIELD).replace(b"--XX\r\n", b"-XX\r\n"),
        form(FIELD + b"\n--XX\ninner"),
        form(FIELD + b"\r\n--XXY"),
        form(FIELD + b"--XX"),
        form(b'Content-Disposition: form-data; name="a"'),
        form(b'Content-Disposition: form-data; name="a"\r\n'),
        form(b'Content-Disposition: form-data; name="a"\n\n1'),
        form(b"\r\n1"),
        form(b"1"),
    ],
    ids=lambda body: repr(body[:60]),
)
def test_a_malformed_delimiter_or_part_is_an_error(body: bytes) -> None:
    with pytest.raises(cel.EvalError):
        read(body)


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Type: text/plain",
        'Content-Disposition: attachment; name="a"',
        "Content-Disposition: form-data",
        'Content-Disposition: form-data; filename="a"',
        'Content-Disposition: form-data; name=""',
        "Content-Disposition: form-data; name=a",
        "Content-Disposition: form-data; name='a'",
        'Content-Disposition: form-data; name="a"; name="b"',
        'Content-Disposition: form-data; name="a"; filename="b"; filename="c"',
        "Content-Disposition: form-data; name=\"a\"; filename*=UTF-8''b",
        "Content-Disposition: form-data; name=\"a\"; name*=UTF-8''b",
        'Content-Disposition: form-data; name="a"; x="b"',
        'Content-Disposition: form-data; name="a\\"b"',
        'Content-Disposition: form-data; name="a%22b"',
        'Content-Disposition: form-data; name="a%0D%0ab"',
        'Content-Disposition: form-data; name="a\tb"',
        'Content-Disposition: form-data; name="a',
        'Content-Disposition: form-data; name="a"\r\nContent-Disposition: form-data; name="b"',
        'Content-Disposition: form-data; name="a"\r\ncontent-disposition: form-data; name="b"',
        'Content-Disposition: form-data;\r\n name="a"',
        'Content-Disposition : form-data; name="a"',
        ' Content-Disposition: form-data; name="a"',
        'Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64',
        'Content-Disposition: form-data; name="a"\r\nX-Other: 1',
        'Content-Disposition: form-data; name="a"\nContent-Type: text/plain',
        'Content-Disposition: form-data; name="a"\rContent-Type: text/plain',
        'Content-Disposition: form-data; name="a\0"',
        'Content-Disposition: form-data; name="_charset_"',
        'Content-Disposition: form-data; name="a"\r\nContent-Type: text/plain; charset=utf-16',
        'Content-Disposition: form-data; name="a"\r\nContent-Type: application/json',
        'Content-Disposition: form-data; name="a"\r\nContent-Type: text/plain\r\nContent-Type: text/plain',
        'Content-Disposition: form-data; name="a"\r\nContent-Type:',
        'Content-Disposition: form-data; name="a"; filename="b"\r\nContent-Type: multipart/mixed; boundary=YY',
        'Content-Disposition: form-data; name="a"; filename="b"\r\nContent-Type: Multipart/Mixed',
        'Content-Disposition: form-data; name="' + "a" * 5_000 + '"',
    ],
    ids=lambda headers: headers[:90],
)
def test_a_tricky_header_of_a_part_is_an_error(headers: str) -> None:
    with pytest.raises(cel.EvalError):
        read(field(headers))


@pytest.mark.parametrize("second", ["a", "A"])
def test_a_field_that_comes_twice_is_an_error(second: str) -> None:
    other = FIELD.replace(b'"a"', f'"{second}"'.encode())
    with pytest.raises(cel.EvalError, match="twice"):
        read(form(FIELD, other))


@pytest.mark.parametrize("content", [b"\xff", b"\xc0\xaf", "ä".encode("latin-1"), b"\xef\xbb\xbfa"])
def test_a_field_that_is_no_utf8_text_is_an_error(content: bytes) -> None:
    with pytest.raises(cel.EvalError):
        read(field('Content-Disposition: form-data; name="a"', content))


def test_a_compressed_form_is_an_error() -> None:
    with pytest.raises(cel.EvalError, match="encoded"):
        read(form(FIELD), content_encoding="gzip")


def test_a_form_has_a_bounded_number_of_parts() -> None:
    def numbered(count: int) -> bytes:
        return form(*(b'Content-Disposition: form-data; name="f%d"\r\n\r\n' % number for number in range(count)))

    assert len(read(numbered(MOST_PARTS))) == MOST_PARTS
    for count in (MOST_PARTS + 1, MOST_PARTS + 2, 10_000):
        with pytest.raises(cel.EvalError, match=f"more than {MOST_PARTS} parts"):
            read(numbered(count))


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C"], exclude_characters='"\\%'), min_size=1)
CONTENTS = st.text(st.characters(codec="utf-8", exclude_characters="\ufeff")).filter(lambda text: "--XX" not in text)


@given(st.dictionaries(NAMES, CONTENTS, max_size=4))
def test_what_was_written_by_the_book_is_read_as_it_was_written(fields: dict[str, str]) -> None:
    if len({name.casefold() for name in fields}) < len(fields):
        return
    parts = [
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n{content}'.encode() for name, content in fields.items()
    ]
    assert read(form(*parts)) == fields


@given(st.integers(0, 200), st.binary(max_size=6), st.integers(0, 6))
def test_a_spoilt_form_is_read_or_an_error_and_never_has_the_delimiter_in_a_field(
    at: int, junk: bytes, cut: int
) -> None:
    body = form(FIELD, FILE)
    with contextlib.suppress(cel.EvalError):
        for value in read(body[:at] + junk + body[at + cut :]).values():
            assert "--XX" not in str(value)
