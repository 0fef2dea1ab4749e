"""Running servers whose store says who is blocked: what is revoked by a command is refused by all of them, at once."""

import json
import time
from pathlib import Path

import pytest
from checking import told
from commanding import command
from lookup.deciding import key_set, new_key, source
from patience import comes
from serving import CONFIG, Serve, Served, on_one_transport

KEY = new_key("k1")
POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: site}
spec:
  rules:
    - {name: users, paths: ["/users"], when: has(user.sub), effect: allow}
    - {name: open, paths: ["/open"], effect: allow}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration with an issuer, whose store is in a folder of its own."""
    for name in ("policies", "state"):
        (tmp_path / name).mkdir()
    (tmp_path / "policies" / "site.yaml").write_text(POLICY)
    (tmp_path / "jwks.json").write_text(key_set(KEY))
    (tmp_path / "extauthz.yaml").write_text(
        f"{CONFIG}\nstore: sqlite:///state/extauthz.db\nidentity: {json.dumps({'users': [source(jwks='jwks.json')]})}\n"
    )
    return tmp_path


def subjects(folder: Path, *arguments: str) -> str:
    """What `extauthz subjects` says."""
    done = command("subjects", *arguments, "--config", "extauthz.yaml", folder=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def reason(served: Served, token: str | None, path: str = "/users") -> str:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    return told(served.answer(path, headers))["reason"]


def becomes(served: Served, token: str, expected: str) -> bool:
    return comes(lambda: reason(served, token) == expected)


@on_one_transport
def test_a_revocation_by_command_is_in_force_on_every_server_and_outlives_them(serve: Serve, folder: Path) -> None:
    token, other = KEY.token(sub="alice"), KEY.token(sub="bob")
    servers = [serve(), serve()]
    for served in servers:
        assert [reason(served, one) for one in (token, token, other)] == ["allowed"] * 3
    subjects(folder, "revoke", "alice")
    for served in servers:
        assert becomes(served, token, "token-revoked")
        assert reason(served, other) == "allowed"
        assert served.metric('extauthz_revocations{kind="tokens"}') == 1
    subjects(folder, "block", "bob")
    for served in servers:
        assert becomes(served, other, "subject-blocked")
    later = serve()
    assert [reason(later, one) for one in (token, other)] == ["token-revoked", "subject-blocked"], "from the first call"
    subjects(folder, "unblock", "bob")
    for served in (*servers, later):
        assert becomes(served, other, "allowed")
        assert reason(served, token) == "token-revoked"


@on_one_transport
def test_a_server_that_is_cut_off_from_its_store_denies_subjects_until_it_is_back(serve: Serve, folder: Path) -> None:
    token = KEY.token(sub="alice")
    served = serve(EXTAUTHZ_REVOCATIONS__MAX_STALENESS="2s")  # on a busy machine they may be stale without an outage
    assert becomes(served, token, "allowed")
    good = {"known": True, "stale": False, "failing_since": None, "error": None}
    assert comes(lambda: bool(served.probe("/ready").json()["revocations"] == good))
    (folder / "state").rename(folder / "away")
    lost = served.next_event("revocations-out-of-reach")
    assert "extauthz.db" in lost["error"]
    served.next_event("revocations-stale")
    response = served.answer("/users", {"authorization": f"Bearer {token}"})
    assert (told(response)["reason"], response.denied_response.status.code) == ("revocations-stale", 503)
    assert reason(served, None, "/open") == "allowed"
    ready = served.probe("/ready")
    assert (ready.status_code, ready.json()["revocations"]["stale"]) == (200, True)
    assert served.metric("extauthz_revocations_stale") == 1
    (folder / "away").rename(folder / "state")
    served.next_event("revocations-back")
    assert becomes(served, token, "allowed")
    assert comes(lambda: served.metric("extauthz_revocations_stale") == 0)
    subjects(folder, "block", "alice")
    assert becomes(served, token, "subject-blocked")


@on_one_transport
def test_with_never_it_goes_on_with_what_it_knows(serve: Serve, folder: Path) -> None:
    token, other = KEY.token(sub="alice"), KEY.token(sub="bob")
    subjects(folder, "block", "bob")
    served = serve(EXTAUTHZ_REVOCATIONS__MAX_STALENESS="never")
    (folder / "state").rename(folder / "away")
    served.next_event("revocations-out-of-reach")
    since = served.probe("/ready").json()["revocations"]["failing_since"]
    assert comes(lambda: time.time() > since + 1.5)
    assert served.probe("/ready").json()["revocations"]["stale"] is False
    assert [reason(served, one) for one in (token, other)] == ["allowed", "subject-blocked"]
    (folder / "away").rename(folder / "state")
    served.next_event("revocations-back")
