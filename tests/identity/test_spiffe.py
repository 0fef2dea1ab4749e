import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.identity import spiffe

SEGMENTS = st.from_regex(r"[A-Za-z0-9._-]{1,8}", fullmatch=True).filter(lambda text: text not in {".", ".."})
PATHS = st.lists(SEGMENTS, min_size=1, max_size=5)
DOMAINS = st.from_regex(r"[a-z0-9._-]{1,12}", fullmatch=True)


def test_an_istio_id_gives_namespace_and_service_account() -> None:
    workload = spiffe.parse("spiffe://prod.example.org/ns/shop/sa/web", verified_by="xfcc")
    assert workload is not None
    assert workload.id == "spiffe://prod.example.org/ns/shop/sa/web"
    assert (workload.trust_domain, workload.path) == ("prod.example.org", "/ns/shop/sa/web")
    assert (workload.namespace, workload.service_account) == ("shop", "web")
    assert workload.verified_by == "xfcc"


@pytest.mark.parametrize(
    "path", ["/billing", "/ns/shop", "/ns/shop/sa/web/more", "/x/ns/shop/sa/web", "/NS/shop/SA/web", "/a.b-c_D9/..."]
)
def test_other_paths_are_ids_without_them(path: str) -> None:
    workload = spiffe.parse(f"spiffe://td/{path.removeprefix('/')}", verified_by="source_principal")
    assert workload is not None
    assert (workload.path, workload.namespace, workload.service_account) == (path, None, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "td/a",
        "https://td/a",
        "SPIFFE://td/a",
        "spiffe:/td/a",
        "spiffe:///a",
        "spiffe://Td/a",  # trust domain in upper case
        "spiffe://td:8443/a",  # port
        "spiffe://user@td/a",
        "spiffe://user:word@td/a",
        "spiffe://[::1]/a",
        "spiffe://tĐ/a",
        "spiffe://td/a?b=c",
        "spiffe://td/a?",
        "spiffe://td/a#b",
        "spiffe://td/a#",
        "spiffe://td/%61",
        "spiffe://t%64/a",
        "spiffe://td//a",
        "spiffe://td/a//b",
        "spiffe://td/.",
        "spiffe://td/./a",
        "spiffe://td/a/..",
        "spiffe://td/../a",
        "spiffe://td/a/",
        "spiffe://td/",
        "spiffe://td",  # the trust domain itself: no leaf has that ID
        "spiffe://td/a b",
        "spiffe://td/ä",
        "spiffe://td/a*",
        "spiffe://td/a\n",
        "spiffe://td/a\x00",
        " spiffe://td/a",
        "spiffe://td/a,spiffe://td/b",
        "CN=spiffe://td/a",
    ],
)
def test_what_is_not_the_canonical_spelling_is_no_id(text: str) -> None:
    assert spiffe.parse(text, verified_by="source_principal") is None


def test_an_id_has_at_most_2048_bytes_and_a_trust_domain_255() -> None:
    prefix = "spiffe://td/"
    assert spiffe.parse(prefix + "a" * (2048 - len(prefix)), verified_by="xfcc") is not None
    assert spiffe.parse(prefix + "a" * (2049 - len(prefix)), verified_by="xfcc") is None
    assert spiffe.parse(f"spiffe://{'d' * 255}/a", verified_by="xfcc") is not None
    assert spiffe.parse(f"spiffe://{'d' * 256}/a", verified_by="xfcc") is None


@given(domain=DOMAINS, path=PATHS)
def test_every_id_that_is_parsed_is_its_own_text(domain: str, path: list[str]) -> None:
    text = f"spiffe://{domain}/{'/'.join(path)}"
    workload = spiffe.parse(text, verified_by="xfcc")
    assert workload is not None
    assert f"spiffe://{workload.trust_domain}{workload.path}" == workload.id == text
