"""The API for subjects on the admin address of a running server: what it does, and for whom."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any, Final

import httpx
import jsonschema
from checking import told
from lookup.deciding import ISSUER
from patience import comes
from serving import Serve, Served, command
from signals.transmitting import IDP, RISC, SECRET, TOKEN, claims, signed

from extauthz.web.openapi import OPENAPI

WEB: Final = "spiffe://example.org/web"


def ask(
    served: Served, path: str, order: object = None, *, token: str | None = TOKEN, method: str = "", **options: Any
) -> httpx.Response:
    """An answer of the API, which is what its description says."""
    headers = dict(options.pop("headers", {}))
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    if order is not None:
        options["json"] = order
    verb = method or ("GET" if order is None and "content" not in options else "POST")
    answer = httpx.request(verb, f"http://{served.said['admin']}{path}", headers=headers, timeout=30, **options)
    is_described(answer, verb.lower(), path.partition("?")[0])
    return answer


def is_described(answer: httpx.Response, verb: str, path: str) -> None:
    described = OPENAPI["paths"].get(path, {}).get(verb)
    if described is None:
        return
    (kind, content), *rest = described["responses"][str(answer.status_code)]["content"].items()
    assert (answer.headers["content-type"], rest) == (kind, [])
    document = {**content["schema"], "components": OPENAPI["components"]}
    jsonschema.Draft202012Validator(document).validate(answer.json())


def reason(served: Served, token: str) -> str:
    return told(served.answer("/users", {"authorization": f"Bearer {token}"}, timeout=30))["reason"]


def test_what_is_asked_for_is_in_force_here_at_once_and_soon_on_every_server(serve: Serve) -> None:
    one, other = serve(), serve()
    alice, bob = IDP.token(sub="alice"), IDP.token(sub="bob", sid="s1", jti="j1")
    assert ask(one, "/v1/subjects").json() == {"revocations": [], "signals": []}
    blocked = ask(one, "/v1/subjects/block", {"sub": "alice", "for": "1h"}).json()
    assert (blocked["sub"], blocked["issuer"], blocked["kind"], blocked["grants"]) == ("alice", ISSUER, "block", 0)
    assert reason(one, alice) == "subject-blocked"
    assert comes(lambda: reason(other, alice) == "subject-blocked")
    revoked = ask(other, "/v1/subjects/revoke", {"sub": "bob", "issuer": ISSUER, "session": "s1"}).json()
    assert (revoked["kind"], revoked["id"], revoked["until"]) == ("session", "s1", None)
    assert reason(other, bob) == "token-revoked"
    assert ask(one, "/v1/subjects/revoke", {"sub": "bob", "token": "j1"}).json()["kind"] == "token"
    assert ask(one, "/v1/subjects/revoke", {"sub": WEB}).json()["issuer"] == ""
    known = ask(one, "/v1/subjects").json()["revocations"]
    assert sorted(entry["kind"] for entry in known) == ["block", "session", "token", "tokens"]
    assert [entry["kind"] for entry in ask(one, "/v1/subjects?sub=alice").json()["revocations"]] == ["block"]
    assert ask(one, f"/v1/subjects?sub=alice&issuer={ISSUER}").json()["revocations"][0]["sub"] == "alice"
    ended = ask(other, "/v1/subjects/unblock", {"sub": "alice"}).json()
    assert ended == {"sub": "alice", "issuer": ISSUER, "was_blocked": True}
    assert ask(other, "/v1/subjects/unblock", {"sub": "alice"}).json()["was_blocked"] is False
    assert reason(other, alice) == "allowed"
    assert comes(lambda: reason(one, alice) == "allowed")


def test_whom_a_transmitter_has_disabled_an_operator_can_let_in_again(serve: Serve) -> None:
    served = serve()
    headers = {"authorization": f"Bearer {SECRET}", "content-type": "application/secevent+jwt"}
    url = f"http://{served.said['web']}/.extauthz/signals/idp"
    text = signed(claims({RISC + "account-disabled": {"event_timestamp": time.time() - 60}}))
    assert httpx.post(url, content=text, headers=headers, timeout=30).status_code == 202
    new = IDP.token(sub="alice")
    assert reason(served, new) == "subject-blocked"
    (signal,) = ask(served, "/v1/subjects?sub=alice").json()["signals"]
    assert (signal["name"], signal["level"], signal["source"]) == ("account", "disabled", "idp")
    assert ask(served, "/v1/subjects/unblock", {"sub": "alice"}).json()["was_blocked"] is True
    assert reason(served, new) == "allowed"
    (signal,) = ask(served, "/v1/subjects?sub=alice").json()["signals"]
    assert (signal["level"], signal["reason"]) == ("enabled", "by hand")


def test_who_has_no_token_learns_and_does_nothing(untouched: Served) -> None:
    orders = (
        ("/v1/subjects", None),
        ("/v1/subjects/block", {"sub": "alice"}),
        ("/v1/subjects/unblock", "nonsense"),
        ("/v1/subjects/revoke", {"sub": "alice"}),
    )
    for token in (None, "wrong", TOKEN + "x", TOKEN[:-1], SECRET):
        for path, order in orders:
            answer = ask(untouched, path, order, token=token)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert ask(untouched, "/v1/subjects").json()["revocations"] == []
    assert [untouched.probe(path).status_code for path in ("/live", "/ready", "/metrics")] == [200] * 3


def test_what_can_not_be_meant_is_a_problem_that_says_why(untouched: Served) -> None:
    for path, order, status, detail in (
        ("block", {}, 400, "missing member `sub`"),
        ("block", {"sub": 7}, 400, "`sub` is no text"),
        ("block", {"sub": "a", "session": "s"}, 400, "unknown member `session`; known are `for`, `issuer`, `sub`"),
        ("block", [1], 400, "not a JSON object"),
        ("block", {"sub": " "}, 422, "the user has no name"),
        ("block", {"sub": "spiffe://Example.org/x"}, 422, "no SPIFFE ID"),
        ("block", {"sub": "a", "for": "soon"}, 422, "for: `soon` is not a duration"),
        ("revoke", {"sub": "a", "session": "s", "token": "t"}, 422, "`session` and `token` are two things"),
        ("revoke", {"sub": "a", "session": ""}, 422, "session: has no name"),
        ("revoke", {"sub": "a", "token": "sha256:x"}, 422, "token: `sha256:x` is no digest"),
        ("unblock", {"sub": "a", "for": "1h"}, 400, "unknown member `for`"),
    ):
        answer = ask(untouched, f"/v1/subjects/{path}", order)
        assert answer.status_code == answer.json()["status"] == status
        assert detail in answer.json()["detail"]
    for body, status in (
        (b'{"sub": "a", "sub": "b"}', 400),
        (b"\xff", 400),
        (b"", 400),
        (b'{"sub": "' + b"x" * 9000 + b'"}', 413),
    ):
        headers = {"content-type": "application/json"}
        assert ask(untouched, "/v1/subjects/block", content=body, headers=headers).status_code == status
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert ask(untouched, "/v1/subjects/block", content=b"sub=alice", headers=headers).status_code == 415
    assert ask(untouched, "/v1/subjects?sub=a&sub=b").status_code == 400
    assert ask(untouched, "/v1/subjects?who=a").status_code == 400
    assert ask(untouched, "/v1/subjects/block", method="GET").status_code == 405
    assert ask(untouched, "/v1/subjects").json()["revocations"] == []


def test_while_the_store_is_away_the_answer_says_so(serve: Serve, folder: Path) -> None:
    served = serve()
    (folder / "state").rename(folder / "away")
    served.next_event("revocations-out-of-reach")
    answer = ask(served, "/v1/subjects/block", {"sub": "alice"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "state" not in answer.json()["detail"]
    (folder / "away").rename(folder / "state")
    assert comes(lambda: ask(served, "/v1/subjects/block", {"sub": "alice"}).status_code == 200)


def test_it_describes_itself_and_is_all_that_is_described(untouched: Served) -> None:
    answer = httpx.get(f"http://{untouched.said['admin']}/openapi.json")
    assert answer.json() == OPENAPI
    for path, operations in OPENAPI["paths"].items():
        for verb in operations:
            answer = httpx.request(verb, f"http://{untouched.said['admin']}{path}")
            assert answer.status_code == 401
    for schema in OPENAPI["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_without_a_token_in_the_configuration_there_is_no_such_api(serve: Serve, folder: Path) -> None:
    config = folder / "extauthz.yaml"
    config.write_text("\n".join(line for line in config.read_text().splitlines() if not line.startswith("admin:")))
    served = serve()
    for path in ("/v1/subjects", "/openapi.json", "/v1/subjects/block"):
        assert httpx.get(f"http://{served.said['admin']}{path}").status_code == 404


def test_a_token_that_can_not_be_used_ends_the_start(folder: Path) -> None:
    (folder / "admin.token").write_text("short")
    ended = subprocess.run(command(folder), capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "admin.token" in ended.stderr
    assert "shorter than 16 characters" in ended.stderr


def test_what_operators_and_transmitters_do_is_recorded_once_by_their_names(serve: Serve, folder: Path) -> None:
    with (folder / "extauthz.yaml").open("a") as config:
        config.write("audit: {path: audit.jsonl}\n")
    one, _ = serve(), serve()
    headers = {"authorization": f"Bearer {SECRET}", "content-type": "application/secevent+jwt"}
    text = signed(claims({RISC + "account-disabled": {"event_timestamp": time.time() - 60}}))
    for _ in range(2):  # a token that comes again has changed nothing
        sent = httpx.post(f"http://{one.said['web']}/.extauthz/signals/idp", content=text, headers=headers, timeout=30)
        assert sent.status_code == 202
    ask(one, "/v1/subjects/unblock", {"sub": "alice"})
    ask(one, "/v1/subjects/unblock", {"sub": "alice"})
    ask(one, "/v1/subjects/block", {"sub": "bob", "for": "1h"})
    ask(one, "/v1/subjects/revoke", {"sub": "bob", "session": "a-session"})

    def told() -> list[dict[str, Any]]:
        lines = map(json.loads, (folder / "audit.jsonl").read_text().splitlines())
        return [line for line in lines if line.get("event", "").split(".")[0] in ("subject", "session", "grant")]

    assert comes(lambda: told()[-1]["event"] == "session.revoked")
    assert [(line["event"], line["subject"]["sub"], line["by"]) for line in told() if "subject" in line] == [
        ("subject.revoked", "alice", "transmitter:idp"),
        ("subject.blocked", "alice", "transmitter:idp"),
        ("subject.unblocked", "alice", "operator:admin"),
        ("subject.blocked", "bob", "operator:admin"),
        ("session.revoked", "bob", "operator:admin"),
    ]
    written = (folder / "audit.jsonl").read_text()
    assert [secret for secret in (text, SECRET, TOKEN, "a-session") if secret in written] == []
