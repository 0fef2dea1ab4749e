"""A running server and its key file: read again when it changes, when a key's moment comes, and on SIGHUP."""

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import pytest
from patience import comes
from serving import Serve, on_one_transport

from extauthz.app import key_following
from extauthz.app.key_file import add_key, make_keys, read_keys
from extauthz.app.key_following import KeyFollower
from extauthz.stepup.keys import SECRET_BYTES, KeyRing, parse_keys, rotate_keys


@on_one_transport
def test_a_rotated_key_makes_when_its_moment_has_come(serve: Serve, folder: Path) -> None:
    served = serve()
    file = folder / "keys.json"
    old = read_keys(file).newest.kid
    new = add_key(file, after=3).kid
    told = served.next_event("keys-turned")
    assert (told["makes"], told["keys"]) == (old, 2)
    told = served.next_event("keys-turned")
    assert (told["makes"], told["keys"]) == (new, 2)
    assert time.time() >= read_keys(file).newest.makes_from


@on_one_transport
def test_a_key_file_that_can_not_be_used_changes_nothing(serve: Serve, folder: Path) -> None:
    served = serve()
    file = folder / "keys.json"
    good = file.read_text()
    file.write_text("{")
    assert "not JSON" in served.next_event("key-file-refused")["error"]
    file.write_text(good)
    add_key(file, after=0)
    assert served.next_event("keys-turned")["keys"] == 2


def test_without_watching_the_signal_reads_it(serve: Serve, folder: Path) -> None:
    served = serve(EXTAUTHZ_RELOAD__WATCH="false")
    new = add_key(folder / "keys.json", after=0)
    served.process.send_signal(signal.SIGHUP)
    assert served.next_event("keys-turned")["makes"] == new.kid
    assert new.kid in {entry["kid"] for entry in json.loads((folder / "keys.json").read_text())["keys"]}


def ring_until(file: Path, moment: float) -> KeyRing:
    """What the file says to whoever reads it before that moment."""
    return parse_keys(file.read_text(), now=moment - 1)


async def turns_to(ring: KeyRing, follower: KeyFollower, kid: str) -> None:
    following = asyncio.create_task(follower.follow())
    assert await asyncio.to_thread(comes, lambda: ring.newest.kid == kid)
    following.cancel()


def test_a_moment_that_came_before_anybody_waited_for_it_is_not_missed(folder: Path) -> None:
    file = folder / "keys.json"
    make_keys(file, replace=False)
    moment = int(time.time()) - 5
    file.write_text(rotate_keys(file.read_text(), os.urandom(SECRET_BYTES), created=moment - 9, makes_from=moment))
    ring = ring_until(file, moment)
    assert ring.newest.kid != read_keys(file).newest.kid
    asyncio.run(turns_to(ring, KeyFollower(file, ring), read_keys(file).newest.kid))


def test_a_moment_that_comes_while_the_file_is_read_is_not_missed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a timer ends a little early, or a disk is slow."""
    file = folder / "keys.json"
    make_keys(file, replace=False)
    new = add_key(file, after=2)
    reads = 0

    def slowly(path: Path) -> KeyRing:
        nonlocal reads
        reads += 1
        found = ring_until(path, new.makes_from) if reads == 1 else read_keys(path)
        while reads == 1 and time.time() < new.makes_from:
            time.sleep(0.01)
        return found

    monkeypatch.setattr(key_following, "read_keys", slowly)
    ring = ring_until(file, new.makes_from)
    asyncio.run(turns_to(ring, KeyFollower(file, ring), new.kid))
