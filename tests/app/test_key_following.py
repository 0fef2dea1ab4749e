"""A running server and its key file: read again when it changes, when a key's moment comes, and on SIGHUP."""

import json
import signal
import time
from pathlib import Path

from serving import Serve

from extauthz.app.key_file import add_key, read_keys


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
