"""Databases and lists in files: what conditions see of them follows the files, and never a bad one."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import geoip
import pytest
from patience import comes
from structlog.testing import capture_logs

from extauthz.app import watching
from extauthz.app.local_facts import MOST_BYTES, LocalFacts
from extauthz.errors import ConfigurationError
from extauthz.settings import Settings, load_settings


def configured(folder: Path, text: str) -> Settings:
    (folder / "extauthz.yaml").write_text(f"policies: [policies]\n{text}\n")
    return load_settings(folder / "extauthz.yaml")


def swap(path: Path, content: bytes) -> None:
    """As who updates a database does: whole, in one step."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


async def following(
    facts: LocalFacts, *steps: tuple[Callable[[], object], Callable[[], bool]], watch: bool = True
) -> None:
    """Do each step while the files are followed, and wait until what it leads to has come."""
    task = asyncio.create_task(facts.follow(watch=watch))
    for act, led_to in steps:
        await asyncio.to_thread(act)
        assert await asyncio.to_thread(comes, led_to)
    assert not task.done()
    task.cancel()


def test_what_is_not_configured_is_not_known(tmp_path: Path) -> None:
    local = LocalFacts(configured(tmp_path, "")).local
    assert local.geo is None
    assert local.addresses == {}


def test_lists_and_databases_are_found_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "tor.txt").write_text("192.0.2.0/24\n")
    (tmp_path / "city.mmdb").write_bytes(geoip.city().read_bytes())
    local = LocalFacts(configured(tmp_path, "addresses: {tor: tor.txt}\ngeo: {city: city.mmdb}")).local
    assert local.addresses["tor"]("192.0.2.1")
    assert not local.addresses["tor"]("192.0.3.1")
    assert local.geo is not None
    assert (local.geo(geoip.LONDON) or {})["city"] == "London"


def test_a_list_that_changes_is_another_list(tmp_path: Path) -> None:
    path = tmp_path / "tor.txt"
    path.write_text("192.0.2.0/24\n")
    facts = LocalFacts(configured(tmp_path, "addresses: {tor: tor.txt}"))
    holds = facts.local.addresses["tor"]
    asyncio.run(
        following(
            facts,
            (lambda: swap(path, b"198.51.100.0/24\n"), lambda: holds("198.51.100.1") and not holds("192.0.2.1")),
            (lambda: path.write_bytes(b"203.0.113.0/24\n"), lambda: holds("203.0.113.1")),
        )
    )


def test_a_database_that_changes_is_another_database(tmp_path: Path) -> None:
    path = tmp_path / "city.mmdb"
    path.write_bytes(geoip.city().read_bytes())
    facts = LocalFacts(configured(tmp_path, f"geo: {{city: city.mmdb, asn: {geoip.asn()}}}"))
    find = facts.local.geo
    assert find is not None
    assert (find(geoip.LONDON) or {})["city"] == "London"
    renamed = path.read_bytes().replace(b"London", b"Lundon")
    asyncio.run(following(facts, (lambda: swap(path, renamed), lambda: (find(geoip.LONDON) or {})["city"] == "Lundon")))
    assert find(geoip.NETWORK) == {"asn": 1221}


@pytest.mark.parametrize(
    "content",
    [b"", b"192.0.2.0/24\n<html>", b"\xff\xfe", b"# " + b"x" * MOST_BYTES],
    ids=["empty", "bad line", "bytes", "long"],
)
def test_a_list_that_can_not_be_used_changes_nothing_and_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tor.txt"
    path.write_text("192.0.2.0/24\n")
    (tmp_path / "office.txt").write_text("10.0.0.0/8\n")
    facts = LocalFacts(configured(tmp_path, "addresses: {tor: tor.txt, office: office.txt}"))
    tor, office = facts.local.addresses["tor"], facts.local.addresses["office"]
    with capture_logs() as told:
        asyncio.run(
            following(
                facts,
                (lambda: swap(path, content), lambda: any(one["event"] == "local-facts-refused" for one in told)),
                # What is wrong with one keeps none of the others waiting.
                (lambda: swap(tmp_path / "office.txt", b"172.16.0.0/12\n"), lambda: office("172.16.0.1")),
            )
        )
    assert tor("192.0.2.1")
    assert [one["name"] for one in told if one["event"] == "local-facts-refused"] == ["addresses.tor"]


def test_a_database_that_can_not_be_used_changes_nothing_and_is_told(tmp_path: Path) -> None:
    path = tmp_path / "city.mmdb"
    path.write_bytes(geoip.city().read_bytes())
    facts = LocalFacts(configured(tmp_path, "geo: {city: city.mmdb}"))
    find = facts.local.geo
    assert find is not None
    with capture_logs() as told:
        asyncio.run(
            following(
                facts,
                (
                    lambda: path.write_bytes(b"broken"),
                    lambda: any(one["event"] == "local-facts-refused" for one in told),
                ),
            )
        )
    assert (find(geoip.BOXFORD) or {})["city"] == "Boxford"
    assert told[0]["error"] == f"geo.city: {path}: not a database in MaxMind's format, or a broken one"


def test_without_watching_files_are_read_when_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "LOOK_ANYWAY", 0.05)
    path = tmp_path / "tor.txt"
    path.write_text("192.0.2.0/24\n")
    facts = LocalFacts(configured(tmp_path, "addresses: {tor: tor.txt}"))
    holds = facts.local.addresses["tor"]

    async def walk() -> None:
        task = asyncio.create_task(facts.follow(watch=False))
        path.write_text("10.0.0.0/8\n")
        await asyncio.sleep(0.2)
        assert not holds("10.0.0.1")
        facts.hurry()
        assert await asyncio.to_thread(comes, lambda: holds("10.0.0.1"))
        task.cancel()

    asyncio.run(walk())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "can't read the list: no such file or directory"),
        ("", "1: no network in it; a list that is meant to be empty has no use: remove it"),
        (
            "10.0.0.0/8\n10.0.0.1/8",
            "2: `10.0.0.1/8` has bits behind its prefix; write `10.0.0.0/8`, or `10.0.0.1` alone",
        ),
    ],
)
def test_a_list_that_can_not_be_read_at_start_is_an_error_with_its_place(
    tmp_path: Path, content: str | None, message: str
) -> None:
    path = tmp_path / "tor.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        LocalFacts(configured(tmp_path, "addresses: {tor: tor.txt}"))
    place = f"addresses.tor: {path}:"
    assert str(caught.value) == f"{place}{'' if content is not None else ' '}{message}"


def test_a_database_that_can_not_be_read_at_start_is_an_error_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^geo\.asn: .*/asn\.mmdb: can't read the database: no such file"):
        LocalFacts(configured(tmp_path, "geo: {asn: asn.mmdb}"))
