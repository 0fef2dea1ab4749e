"""Addresses of a Redis: every form that is read, and what is said of those that are wrong."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from extauthz.errors import ConfigurationError
from extauthz.store.protocol import Store
from extauthz.store.redis_address import parse_redis

Open = Callable[[str], Store]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://", "no host"),
        ("redis://host:0", "no host"),
        ("redis://host:70000", "no host"),
        ("redis://ho st", "no host"),
        ("redis://a,b", "one server has one host"),
        ("redis://secret@host", "write a password as `:PASSWORD@`"),
        ("redis://:secret@host/x", "no number of a database"),
        ("redis://:secret@host#x", "leave it out"),
        ("redis://:a/secret@host", "`%2F`"),
        ("redis://:a?secret=x@host", "`%3F`"),
        ("redis://:a#secret@host", "`%23`"),
        ("redis://:a@secret@/x/y", "no host"),
        ("mysql://u:secret/x@host", "no address of a store"),
        ("redis://:secret@host?password_file=x", "leave one of them"),
        ("redis://:secret@host?timeout=5", "`timeout` is no parameter"),
        ("redis://:secret@host?db", "no parameter"),
        ("redis://host?db=1&db=2", "twice"),
        ("redis://host?ca=x.pem", "write `rediss://"),
        ("rediss://host?ca=x.pem", "no such file"),
        ("rediss://host?cert=x.pem", "need each other"),
        ("redis://host?prefix={x}", "no prefix"),
        ("redis://host?password_file=gone", "can't read the password"),
        ("redis+unix://host/socket", "redis.sock"),
        ("redis+unix:///", "redis.sock"),
        ("redis+sentinel://a,b", "name the service"),
        ("redis+cluster://a/1", "a cluster has no databases"),
        ("redis+tls://a", "no address of a store"),
    ],
)
def test_an_address_that_is_wrong_is_told_without_its_password(opened: Open, url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as told:
        opened(url)
    assert "secret" not in str(told.value)
    assert str(told.value).startswith("store: ")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["password_file", "sentinel_password_file", "ca"])
def test_nobody_waits_for_a_pipe(opened: Open, name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match=r"^store: .*/pipe: .*not a regular file"):
        opened(f"rediss://host?{name}=pipe")


def test_every_form_of_an_address_is_read(tmp_path: Path) -> None:
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).write_text("")
    plain = parse_redis("redis://redis.example.com/4", base=tmp_path)
    assert (plain.kind, plain.hosts, plain.database, plain.tls) == ("server", (("redis.example.com", 6379),), 4, False)
    secure = parse_redis("rediss://app:pa%3Ass@[::1]:7000?ca=ca.pem&cert=cert.pem&key=key.pem", base=tmp_path)
    assert (secure.hosts, secure.username, secure.password, secure.tls) == ((("::1", 7000),), "app", "pa:ss", True)
    assert (secure.ca, secure.cert, secure.key) == tuple(tmp_path / f"{name}.pem" for name in ("ca", "cert", "key"))
    assert "pa" not in repr(secure)
    assert secure.shown == "rediss://[::1]:7000?ca=ca.pem&cert=cert.pem&key=key.pem"
    guarded = parse_redis("rediss+sentinel://:x@a,b:1,[::2]/main/3", base=tmp_path)
    assert (guarded.kind, guarded.service, guarded.database) == ("sentinel", "main", 3)
    assert guarded.hosts == (("a", 26379), ("b", 1), ("::2", 26379))
    spread = parse_redis("redis+cluster://a,b:7001?prefix=shop", base=tmp_path)
    assert (spread.kind, spread.hosts, spread.prefix) == ("cluster", (("a", 6379), ("b", 7001)), "shop")
    local = parse_redis("redis+unix:///run/redis%20x.sock?db=2", base=tmp_path)
    assert (local.kind, local.socket, local.hosts, local.database) == ("server", "/run/redis x.sock", (), 2)
