"""A running server whose issuer publishes its keys: what callers get, and what the operator sees."""

import json
import signal
import threading
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
from app.conftest import serve
from checking import told
from lookup.deciding import key_set, new_key, settings_of, source
from patience import comes
from publishing import Page, Site
from serving import CONFIG, Serve, Served

OLD, NEW = new_key("old"), new_key("new")

__all__ = ["serve"]


@pytest.fixture
def folder(tmp_path: Path, site: Site) -> Path:
    """A configuration that allows users whose keys are at the site."""
    settings_of(tmp_path, [])
    users = [source(jwks=f"{site.url}/jwks")]
    (tmp_path / "extauthz.yaml").write_text(f"{CONFIG}\nidentity: {json.dumps({'users': users})}\n")
    return tmp_path


def reason(served: Served, token: str, *, timeout: float = 5) -> str:
    return told(served.answer("/x", {"authorization": f"Bearer {token}"}, timeout=timeout))["reason"]


def in_a_hurry(served: Served, token: str) -> str:
    """The reason that a caller hears who waits for less long than is waited for keys.

    A busy machine may let the connection alone take that long: who heard nothing calls again, and in the end somebody
    must hear.
    """
    heard: list[str] = []

    def hears() -> bool:
        with suppress(grpc.RpcError):
            heard.append(reason(served, token, timeout=0.2))
        return bool(heard)

    assert comes(hears)
    return heard[0]


def fetches(served: Served, result: str) -> float:
    return served.metric(f'extauthz_keys_fetches_total{{result="{result}",source="idp"}}')


def confirmed(served: Served) -> float:
    return served.metric('extauthz_keys_confirmed_timestamp_seconds{source="idp"}')


def successful(served: Served) -> float:
    return served.metric('extauthz_keys_last_fetch_successful{source="idp"}')


def test_it_starts_without_its_issuer_says_so_and_takes_the_keys_when_they_come(serve: Serve, site: Site) -> None:
    site.pages["/jwks"] = Page(status=503)
    served = serve()
    lost = served.next_event("keys-out-of-reach")
    assert (lost["source"], lost["confirmed_at"]) == ("idp", None)
    assert lost["error"] == f"{site.url}/jwks: answered with 503"
    answer = served.answer("/x", {"authorization": f"Bearer {OLD.token()}"})
    assert told(answer)["reason"] == "issuer-unavailable"
    assert answer.denied_response.status.code == 503
    ready = served.probe("/ready")
    assert ready.status_code == 200
    said = ready.json()["keys"]["idp"]
    assert (said["known"], said["error"]) == (False, lost["error"])
    assert said["failing_since"] == pytest.approx(lost["since"])
    assert (confirmed(served), successful(served)) == (0, 0)
    site.pages["/jwks"] = Page(body=key_set(OLD))
    served.next_event("keys-back")
    assert reason(served, OLD.token()) == "allowed"
    assert served.probe("/ready").json()["keys"] == {"idp": {"known": True, "failing_since": None, "error": None}}
    assert confirmed(served) > lost["since"]
    assert (successful(served), fetches(served, "changed")) == (1, 1)
    assert fetches(served, "failed") >= 1


def test_a_rotation_needs_no_reload_and_a_reload_keeps_it(serve: Serve, site: Site, folder: Path) -> None:
    site.pages["/jwks"] = Page(body=key_set(OLD))
    served = serve()
    assert reason(served, OLD.token()) == "allowed"
    site.pages["/jwks"] = Page(body=key_set(NEW))
    assert reason(served, NEW.token()) == "allowed"
    assert reason(served, OLD.token()) == "invalid-token"
    policy = folder / "policies" / "site.yaml"
    policy.write_text(policy.read_text().replace("name: users", "name: others"))
    served.next_event("reloaded")
    assert reason(served, NEW.token()) == "allowed"
    assert reason(served, OLD.token()) == "invalid-token"
    assert fetches(served, "changed") == 2


def test_a_reload_forgets_what_a_file_of_keys_verified(serve: Serve, folder: Path) -> None:
    (folder / "jwks.json").write_text(key_set(OLD, NEW))
    users = [source(jwks="jwks.json")]
    (folder / "extauthz.yaml").write_text(f"{CONFIG}\nidentity: {json.dumps({'users': users})}\n")
    served = serve()
    token, other = OLD.token(), NEW.token()
    for _ in range(2):  # the second time it is remembered
        assert (reason(served, token), reason(served, other)) == ("allowed", "allowed")
    (folder / "jwks.json").write_text(key_set(NEW))
    served.next_event("reloaded")
    assert (reason(served, token), reason(served, other)) == ("invalid-token", "allowed")


def test_a_hangup_asks_for_keys_again(serve: Serve, site: Site) -> None:
    site.pages["/jwks"] = Page(body=key_set(OLD, NEW))
    served = serve()
    assert reason(served, OLD.token()) == "allowed"
    served.next_event("keys-changed")
    site.pages["/jwks"] = Page(body=key_set(NEW))
    served.process.send_signal(signal.SIGHUP)
    served.next_event("keys-changed")
    assert reason(served, OLD.token()) == "invalid-token"
    assert site.asked[-1].headers["cache-control"] == "no-cache"


def test_a_set_that_is_refused_is_told_and_the_good_one_stays(serve: Serve, site: Site) -> None:
    site.pages["/jwks"] = Page(body=key_set(OLD))
    served = serve()
    assert reason(served, OLD.token()) == "allowed"
    site.pages["/jwks"] = Page(body="<html>maintenance</html>")
    assert reason(served, NEW.token()) == "issuer-unavailable"
    refused = served.next_event("keys-refused")
    assert refused["error"] == "jwks of `idp`: not JSON; expected a JWK Set"
    assert reason(served, OLD.token()) == "allowed"
    assert (successful(served), fetches(served, "refused")) == (0, 1)


def test_a_caller_in_a_hurry_hears_of_the_issuer_in_time(serve: Serve, site: Site) -> None:
    held = threading.Event()
    site.pages["/jwks"] = Page(body=key_set(OLD), held=held)
    served = serve()
    assert in_a_hurry(served, OLD.token()) == "issuer-unavailable"
    held.set()
    served.next_event("keys-changed")
    assert in_a_hurry(served, OLD.token()) == "allowed"


def test_no_log_line_holds_a_token(serve: Serve, site: Site) -> None:
    site.pages["/jwks"] = Page(status=500)
    served = serve()
    served.next_event("keys-out-of-reach")
    token = OLD.token()
    assert reason(served, token) == "issuer-unavailable"
    site.pages["/jwks"] = Page(body=key_set(OLD))
    served.next_event("keys-back")
    assert reason(served, token) == "allowed"
    assert token.split(".")[1] not in json.dumps(served.heard)
