"""A running server that knows lists of addresses, places and windows of time: from its files, and as they change."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import geoip
import pytest
from hardening.starting import refused_start
from patience import comes
from serving import CONFIG, Serve, Served, on_one_transport

POLICY = """
apiVersion: extauthz/v1
kind: Definitions
metadata: {name: places}
spec:
  windows:
    always: {zone: Europe/Berlin, hours: [{from: "00:00", to: "24:00"}]}
  addresses:
    office: [192.0.2.0/24]
---
apiVersion: extauthz/v1
kind: Policy
metadata: {name: places}
spec:
  rules:
    - {name: office, paths: [/office], when: 'listed(client.ip, "office")', effect: allow}
    - {name: always, paths: [/always], when: 'within(now, "always")', effect: allow}
"""
LISTED = "    - {name: partner, paths: [/partner], when: 'listed(client.ip, \"partners\")', effect: allow}\n"
LONDON = "    - {name: london, paths: [/london], when: 'geo.city == \"London\"', effect: allow}\n"
HIDDEN = "    - {name: hidden, paths: [/hidden], when: '!geo.anonymous', effect: allow}\n"
CLIENT = "client: {trusted_hops: 1, xff: untouched}\n"


@pytest.fixture
def site(folder: Path) -> Path:
    """A server's folder with lists and a database in it."""
    (folder / "partners.txt").write_text("198.51.100.0/24\n")
    (folder / "city.mmdb").write_bytes(geoip.city().read_bytes())
    (folder / "policies" / "site.yaml").write_text(POLICY + LISTED + LONDON)
    (folder / "extauthz.yaml").write_text(
        CONFIG + CLIENT + "addresses: {partners: partners.txt}\ngeo: {city: city.mmdb}\n"
    )
    return folder


def allows(served: Served, path: str, address: str) -> bool:
    return served.allows(path, **{"x-forwarded-for": address})


ASKED = [
    ("/office", "192.0.2.1", True),
    ("/office", "192.0.3.1", False),
    ("/office", "not an address", False),
    ("/partner", "198.51.100.1", True),
    ("/partner", "192.0.2.1", False),
    ("/london", geoip.LONDON, True),
    ("/london", f"192.0.2.1, {geoip.LONDON}", True),
    ("/london", f"{geoip.LONDON}, 192.0.2.1", False),
    ("/london", geoip.BOXFORD, False),
    ("/london", geoip.UNKNOWN, False),
    ("/always", geoip.UNKNOWN, True),
]


@on_one_transport
def test_a_decision_knows_where_the_client_is(site: Path, serve: Serve) -> None:
    assert site.exists()
    served = serve()
    assert [(path, address, allows(served, path, address)) for path, address, _ in ASKED] == ASKED


@on_one_transport
def test_files_that_change_count_without_a_reload_and_bad_ones_do_not(site: Path, serve: Serve) -> None:
    served = serve()
    revision = served.probe("/ready").json()
    (site / "partners.txt").write_text("203.0.113.0/24\n")
    assert comes(lambda: allows(served, "/partner", "203.0.113.1"))
    assert not allows(served, "/partner", "198.51.100.1")
    (site / "partners.txt").write_text("203.0.113.0/24\nnonsense\n")
    told = served.next_event("local-facts-refused")
    assert told["error"] == (
        f"addresses.partners: {site / 'partners.txt'}:2: `nonsense` is neither an address nor a network; "
        "write `192.0.2.0/24` or `2001:db8::1`"
    )
    (site / "city.mmdb").write_bytes(b"broken")
    assert served.next_event("local-facts-refused")["name"] == "geo"
    assert allows(served, "/partner", "203.0.113.1")
    assert allows(served, "/london", geoip.LONDON)
    for name in ("geo", "addresses.partners"):
        assert served.metric(f'extauthz_addresses_current{{name="{name}"}}') == 0
    (site / "partners.txt").write_text("198.51.100.0/24\n")
    assert served.next_event("local-facts-read")["name"] == "addresses.partners"
    assert served.metric('extauthz_addresses_current{name="addresses.partners"}') == 1
    assert served.probe("/ready").json() == revision
    assert not any(line["event"] == "reloaded" for line in served.heard)


@on_one_transport
def test_without_watching_the_signal_reads_them(site: Path, serve: Serve) -> None:
    served = serve(EXTAUTHZ_RELOAD__WATCH="false")
    (site / "partners.txt").write_text("203.0.113.0/24\n")
    assert not allows(served, "/partner", "203.0.113.1")
    served.process.send_signal(signal.SIGHUP)
    assert comes(lambda: allows(served, "/partner", "203.0.113.1"))


@on_one_transport
def test_policies_that_come_later_know_what_the_files_say_now(site: Path, serve: Serve) -> None:
    """They are compiled in a process of their own."""
    served = serve()
    (site / "partners.txt").write_text("203.0.113.0/24\n")
    assert comes(lambda: allows(served, "/partner", "203.0.113.1"))
    (site / "policies" / "site.yaml").write_text(POLICY.replace("192.0.2.0/24", "10.0.0.0/8") + LISTED + LONDON)
    assert comes(lambda: allows(served, "/office", "10.0.0.1"))
    assert allows(served, "/partner", "203.0.113.1")
    assert allows(served, "/london", geoip.LONDON)
    assert allows(served, "/always", geoip.UNKNOWN)


def _write(policy: str) -> Callable[[Path], object]:
    return lambda site: (site / "policies" / "site.yaml").write_text(policy)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda site: (site / "partners.txt").unlink(), "partners.txt: can't read the list: no such file or directory"),
        (lambda site: (site / "city.mmdb").write_bytes(b""), "city.mmdb: not a database in MaxMind's format"),
        (_write(POLICY + HIDDEN), "no database gives `geo.anonymous`; name a database that has it under `geo`"),
        (_write(POLICY + LISTED.replace('"partners', '"partner')), "no list of addresses is called `partner`"),
        (_write(POLICY.replace("office:", "partners:")), "the configuration names a list `partners`, too"),
    ],
    ids=["a list", "a database", "a field", "a name", "a name of two"],
)
def test_a_server_does_not_start_without_what_its_policies_need(
    site: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(site)
    assert message in refused_start(site, os.environ)
