import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.errors import MalformedRequest
from extauthz.identity import xfcc
from extauthz.identity.xfcc import Element

HASH = "ab" * 32


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("URI=spiffe://td/a", [Element(uri=("spiffe://td/a",))]),
        ('URI="spiffe://td/a"', [Element(uri=("spiffe://td/a",))]),
        (
            f'By=spiffe://td/b;Hash={HASH};Subject="CN=web,O=Shop";URI=spiffe://td/a;DNS=a.example;DNS=b.example',
            [
                Element(
                    by=("spiffe://td/b",),
                    hash=HASH,
                    subject="CN=web,O=Shop",
                    uri=("spiffe://td/a",),
                    dns=("a.example", "b.example"),
                )
            ],
        ),
        # keys are case-insensitive
        (f"uRi=spiffe://td/a;HASH={HASH};dns=x", [Element(uri=("spiffe://td/a",), hash=HASH, dns=("x",))]),
        ('Cert="-----BEGIN%20CERT";Chain="a%2Cb"', [Element(cert="-----BEGIN%20CERT", chain="a%2Cb")]),
        # several elements, with and without blanks
        ("URI=a,URI=b", [Element(uri=("a",)), Element(uri=("b",))]),
        ("URI=a , \tURI=b", [Element(uri=("a",)), Element(uri=("b",))]),
        # `By`, `URI`, `DNS` repeat
        ("By=a;By=b;URI=c;URI=d", [Element(by=("a", "b"), uri=("c", "d"))]),
        # empty values, as Envoy sends them
        ('Subject="";URI=;Hash=', [Element(uri=("",))]),
        # a quote inside
        (r'Subject="CN=\"x\"";URI=a', [Element(subject='CN="x"', uri=("a",))]),
        (r'Subject="CN=a\,b\\c";URI=a', [Element(subject=r"CN=a\,b\\c", uri=("a",))]),
    ],
)
def test_what_envoy_writes_is_read(text: str, elements: list[Element]) -> None:
    assert list(xfcc.parse(text)) == elements


@pytest.mark.parametrize(
    "text",
    [
        r'Subject="CN=x\",URI=spiffe://td/admin";URI=spiffe://td/a',
        'Subject="CN=x,URI=spiffe://td/admin";URI=spiffe://td/a',
        'Subject="CN=x;URI=spiffe://td/admin";URI=spiffe://td/a',
        r'Subject="CN=x\\\",URI=spiffe://td/admin";URI=spiffe://td/a',
    ],
)
def test_a_subject_that_holds_a_uri_names_nobody(text: str) -> None:
    (element,) = xfcc.parse(text)
    assert element.uri == ("spiffe://td/a",)
    assert "spiffe://td/admin" in element.subject


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ",",
        ";",
        "URI",
        "=a",
        "URI=a;",
        ";URI=a",
        "URI=a,",
        ",URI=a",
        "URI=a,,URI=b",
        "URI=a;;URI=b",
        "URI=a;,URI=b",
        "URI =a",
        "URI= a",
        "URI=a ",
        "URI=a; DNS=b",
        "URI=a b",
        "URI=a=b",
        "URI=a\tb",
        "URI=a\r\nb",
        "URI=a\x00",
        'Subject="a\x00"',
        'Subject="',
        'Subject="a',
        'Subject=a"',
        'Subject="a"b',
        'Subject="a"";URI=b',
        'Subject="a" ;URI=b',
        "Subject='a,b'",
        r'Subject="a\"',
        r'Subject="a\\",URI=spiffe://td/admin',  # closes the value for some readers, not for others
        r'Subject="a\\";URI=spiffe://td/a',
        r'Subject="a\\\\",URI="b"',
        "Subject=CN=a,O=b;URI=c",  # what must be quoted and is not
        "Nonsense=a;URI=b",
        "URI=a;Email=b",
        f"Hash={HASH};Hash={HASH}",
        'Subject="a";subject="b"',
        "Cert=a;Cert=a",
        "Chain=a;chain=b",
    ],
)
def test_a_header_that_is_malformed_or_has_two_readings_is_refused(text: str) -> None:
    with pytest.raises(MalformedRequest):
        xfcc.parse(text)


@given(st.text(max_size=200) | st.text(alphabet='URISubjectBy="\\;, a', max_size=80))
def test_any_header_is_read_or_refused(text: str) -> None:
    try:
        elements = xfcc.parse(text)
    except MalformedRequest:
        return
    assert elements


VALUES = st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters='"\\'), max_size=20)
PAIRS = st.lists(st.tuples(st.sampled_from(["By", "uri", "DNS"]), VALUES), min_size=1, max_size=4)


@given(st.lists(PAIRS, min_size=1, max_size=4))
def test_whatever_is_quoted_comes_back(elements: list[list[tuple[str, str]]]) -> None:
    text = ",".join(";".join(f'{key}="{value}"' for key, value in pairs) for pairs in elements)
    parsed = xfcc.parse(text)
    assert len(parsed) == len(elements)
    for element, pairs in zip(parsed, elements, strict=True):
        for key in ("by", "uri", "dns"):
            assert getattr(element, key) == tuple(value for name, value in pairs if name.lower() == key)


@given(subject=VALUES.map(lambda text: text + '",URI=spiffe://td/admin,Subject="'))
def test_no_subject_adds_an_element(subject: str) -> None:
    escaped = subject.replace('"', '\\"')
    (element,) = xfcc.parse(f'Subject="{escaped}";URI=spiffe://td/a')
    assert element.uri == ("spiffe://td/a",)
    assert element.subject == subject


SIZE = 400_000


@pytest.mark.parametrize(
    "text",
    [
        "A" * SIZE,
        'Subject="' + "a" * SIZE,
        'Subject="' + '\\"' * (SIZE // 2),
        'Subject="' + "\\" * (SIZE + 1) + '"',
        "Subject=" + "\\" * SIZE,
        "URI=a" + " " * SIZE,
        "URI=a" + ", " * (SIZE // 2),
        "URI=" * (SIZE // 4),
        'URI="' * (SIZE // 5),
        "URI=" + "a" * SIZE + '"',
        "URI=a," * (SIZE // 6),
        "URI=a;" * (SIZE // 6),
        'A="\\' * (SIZE // 4),
    ],
    ids=lambda text: repr(text[:12]),
)
def test_reading_takes_linear_time(text: str) -> None:
    # A quadratic reader needs minutes for this size; a linear one some hundredths of a second.
    start = time.process_time()
    with pytest.raises(MalformedRequest):
        xfcc.parse(text)
    assert time.process_time() - start < 2
