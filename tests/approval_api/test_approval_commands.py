"""`extauthz approvals`: what operators see of the store, and the answers of people over the API."""

import json
import os
import socket
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pyotp
import pytest
from approval_api.answering_people import (
    ANNA,
    APP,
    BEN,
    PEOPLE,
    POLICY,
    STRANGER,
    Desk,
    answering,
    configure,
    token,
    with_users,
)
from commanding import Ended, command
from rich.console import Console

from extauthz.approval.view import approval_object
from extauthz.cli.approval_tables import line, table
from extauthz.cli.quickstart.certificates import create_authority
from extauthz.values.approvals import Requesters
from extauthz.values.instant import instant

EXECUTABLE = str(Path(sys.executable).parent / "extauthz")


def ran(desk: Desk, *arguments: str, who: str | None = None, api: bool = False, **environ: str) -> Ended:
    """The command, in the folder of the configuration; with `api` it asks the API."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("APPROVALS_")}
    if who is not None:
        variables["APPROVALS_TOKEN"] = who
    address = ["--url", desk.url] if api else []
    return command("approvals", *arguments, *address, folder=desk.folder, environ={**variables, **environ})


def said(desk: Desk, *arguments: str, **options: Any) -> Any:
    ended = ran(desk, *arguments, "--format", "json", **options)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_an_operator_sees_all_that_is_in_the_store(desk: Desk) -> None:
    first, second = desk.opened().id, desk.opened("one").id
    desk.vote(first)
    assert [one["id"] for one in said(desk, "list")] == [second, first]
    assert [one["id"] for one in said(desk, "list", "--rule", "bank/two", "--status", "pending")] == [first]
    assert said(desk, "list", "--subject", "uma", "--issuer", "https://other.example") == []
    assert len(said(desk, "list", "--subject", "uma", "--issuer", APP)) == 2
    shown = said(desk, "show", first)
    asked = shown.pop("asked")
    assert shown == {
        name: value for name, value in desk.ask("GET", f"/v1/approvals/{first}").json().items() if name in shown
    }
    assert asked == [{"from": shown["opened_at"], "groups": ["treasury"], "subjects": [], "condition": False}]
    for text in (ran(desk, "list").stdout, ran(desk, "show", first).stdout):
        for word in (first, "bank/two", "uma", "https://bank.example.com/two", "anna", "pending"):
            assert word in text
    text = ran(desk, "show", first).stdout
    for word in ("5,000 €", "variables.amount > 1000.0", "Large transfers", "203.0.113.9"):
        assert word in text


def test_a_subject_is_of_the_only_issuer_there_is(desk: Desk) -> None:
    id_ = desk.opened().id
    assert "--issuer" in ran(desk, "list", "--subject", "uma").stderr
    with_users(desk.folder / "extauthz.yaml", APP)
    assert [one["id"] for one in said(desk, "list", "--subject", "uma")] == [id_]


def test_the_api_takes_the_only_issuer_too(tmp_path: Path) -> None:
    with answering(with_users(configure(tmp_path), APP)) as desk:
        id_ = desk.opened().id
        assert [one["id"] for one in said(desk, "list", "--subject", "uma", api=True, who=ANNA)] == [id_]


def test_what_is_overdue_is_shown_as_over(desk: Desk) -> None:
    id_ = desk.opened(expires_in=0.01).id
    time.sleep(0.1)
    assert said(desk, "show", id_)["status"] == "expired"


def test_nobody_answers_by_the_store_alone(desk: Desk) -> None:
    id_ = desk.opened().id
    for verb in ("approve", "deny", "cancel", "revoke"):
        ended = ran(desk, verb, id_)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert "APPROVALS_TOKEN" in ended.stderr
    assert said(desk, "show", id_)["votes"] == []


def test_people_answer_by_the_api_with_a_token_of_their_own(desk: Desk) -> None:
    id_ = desk.opened().id
    voted = said(desk, "approve", id_, "--reason", "fine", api=True, who=ANNA)
    assert [(one["person"], one["reason"], one["channel"]) for one in voted["votes"]] == [("anna", "fine", "api")]
    (desk.folder / "ben.token").write_text(BEN + "\n")
    assert said(desk, "approve", id_, "--token-file", "ben.token", api=True)["status"] == "approved"
    assert [one["id"] for one in said(desk, "list", "--status", "approved", api=True, who=ANNA)] == [id_]
    assert said(desk, "list", "--mine", api=True, who=ANNA) == []
    assert said(desk, "show", id_, api=True, who=ANNA)["counted"]["approve"] == 2
    assert said(desk, "revoke", id_, "--reason", "no", api=True, who=ANNA)["revoked"]["person"] == "anna"
    mine = desk.opened().id
    assert said(desk, "cancel", mine, api=True, who=token("uma"))["status"] == "cancelled"
    broken = desk.opened("glass", glass=True).id
    assert [one["id"] for one in said(desk, "list", "--unreviewed")] == [broken]
    reviewed = said(desk, "review", broken, "justified", "--reason", "it burned", api=True, who=ANNA)
    assert reviewed["break_glass"]["review"]["verdict"] == "justified"
    denied = ran(desk, "deny", desk.opened("one").id, "--reason", "no", api=True, who=ANNA)
    assert "denied" in denied.stdout


@pytest.mark.parametrize(
    ("arguments", "who", "word"),
    [
        (("approve", "ID"), STRANGER, "not-found"),
        (("approve", "ID"), token("uma", "treasury"), "requester"),
        (("show", "ID"), STRANGER, "not-found"),
        (("approve", "zzzz"), ANNA, "not-found: no approval that you may see begins with `zzzz`"),
        (("approve", "0" * 32), ANNA, "not-found"),
        (("approve", "ID"), "nonsense", "unauthenticated"),
        (("approve", "ID"), "not a token", "is it the right file or variable"),
        (("list", "--subject", "uma"), ANNA, "`issuer` is missing"),
    ],
)
def test_a_refusal_is_one_line_that_says_why(desk: Desk, arguments: tuple[str, ...], who: str, word: str) -> None:
    id_ = desk.opened().id
    ended = ran(desk, *(id_ if one == "ID" else one for one in arguments), api=True, who=who)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert word in ended.stderr
    assert who not in ended.stderr


def test_a_status_that_is_none_is_a_mistake_of_the_command_line(desk: Desk) -> None:
    ended = ran(desk, "list", "--status", "open", api=True, who=ANNA)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "--status: `open` is none; known are pending, " in ended.stderr


def test_programs_read_json_or_a_refusal_that_begins_with_its_reason(desk: Desk) -> None:
    """`--format json` changes nothing about refusals: they are a line of text, as with every other command."""
    id_ = desk.opened("one").id
    for arguments, who, beginning in (
        (("approve", id_), ANNA, "extauthz: needs-reason: "),
        (("approve", id_, "--reason", "x"), STRANGER, "extauthz: not-found: "),
        (("show", id_), STRANGER, "extauthz: not-found: "),
    ):
        ended = ran(desk, *arguments, "--format", "json", api=True, who=who)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
        assert ended.stderr.startswith(beginning)
    assert ran(desk, "list", "--format", "xml").returncode == 2


def test_the_beginning_of_an_id_is_enough(desk: Desk) -> None:
    first, second = desk.opened("glass", glass=True).id, desk.opened().id
    assert said(desk, "show", first[:6])["id"] == first
    assert said(desk, "show", first[:6], api=True, who=ANNA)["id"] == first
    reviewed = said(desk, "review", first[:6], "justified", "--reason", "fine", api=True, who=ANNA)
    assert reviewed["break_glass"]["review"]["verdict"] == "justified"
    assert said(desk, "revoke", first[:6], api=True, who=ANNA)["revoked"]["person"] == "anna"
    assert said(desk, "approve", second[:6], api=True, who=ANNA)["votes"][0]["stance"] == "approve"
    assert said(desk, "deny", second[:6], api=True, who=BEN)["votes"][1]["stance"] == "deny"
    assert said(desk, "cancel", second[:6], api=True, who=token("uma"))["status"] == "cancelled"


def test_a_beginning_tells_nothing_of_what_somebody_does_not_see(desk: Desk) -> None:
    id_ = desk.opened().id
    there, nothing = (ran(desk, "show", one, api=True, who=STRANGER) for one in (id_[:6], "0123456789"))
    assert there.stderr.replace(id_[:6], "…") == nothing.stderr.replace("0123456789", "…")
    assert id_ not in there.stderr


def test_whom_it_asks_is_what_the_rule_says_now(desk: Desk) -> None:
    id_ = desk.opened().id
    policy = desk.folder / "policies" / "bank.yaml"
    who = "{groups: [treasury, audit], subjects: [zoe], when: 'approver.person != \"x\"'}"
    more = f"{who}, escalate: [{{after: 5m, groups: [board]}}]"
    policy.write_text(POLICY.replace("{groups: [treasury]}, min: 2", f"{more}, min: 2"))
    shown = said(desk, "show", id_)
    assert shown["needed"]["approve"] == 2
    assert [one["groups"] for one in shown["asked"]] == [["audit", "treasury"], ["board"]]
    assert (shown["asked"][0]["from"], shown["asked"][1]["condition"]) == (shown["opened_at"], True)
    text = " ".join(ran(desk, "show", id_).stdout.split())
    assert "asks group audit, group treasury, zoe who fits `approvers.when`" in text
    assert f"from {shown['asked'][1]['from']} group board who fits" in text
    for broken, word, asked in (
        (POLICY.replace("name: two", "name: three"), "there is no rule `bank/two` any more", []),
        ("nonsense", "the policies have errors", None),
    ):
        policy.write_text(broken)
        ended = ran(desk, "show", id_, "--format", "json")
        assert (ended.returncode, json.loads(ended.stdout)["asked"], ended.stderr.count("\n")) == (0, asked, 1)
        assert word in ended.stderr


def test_a_code_comes_from_the_environment_where_nobody_can_be_asked(desk: Desk) -> None:
    id_ = desk.opened("fresh").id
    refused = ran(desk, "approve", id_, api=True, who=ANNA)
    assert "needs-factor" in refused.stderr
    assert f"https://approvals.example.com/approvals/{id_}" in refused.stderr
    app = desk.enroll("anna")
    assert said(desk, "approve", id_, api=True, who=ANNA, APPROVALS_CODE=app.now())["status"] == "approved"


def test_an_approver_is_given_an_authenticator_app_at_their_own_issuer(desk: Desk) -> None:
    enroll = ("factors", "enroll", "anna", "--format", "json", "--issuer")
    app = pyotp.parse_uri(json.loads(command(*enroll, PEOPLE, folder=desk.folder).stdout)["uri"])
    assert isinstance(app, pyotp.TOTP)
    id_ = desk.opened("fresh").id
    assert desk.vote(id_, code=app.now()).json()["status"] == "approved"
    assert command(*enroll, APP, folder=desk.folder).returncode == 1


def test_a_token_does_not_leave_the_machine_in_the_clear(desk: Desk) -> None:
    ended = ran(desk, "approve", "abcd", "--url", "http://approvals.example.com", who=ANNA)
    assert (ended.returncode, "in the clear" in ended.stderr) == (2, True)


def test_a_reason_that_is_missing_is_asked_for_as_the_command_takes_it(desk: Desk) -> None:
    ended = ran(desk, "approve", desk.opened("one").id, api=True, who=ANNA)
    assert (ended.returncode, ended.stderr) == (
        1,
        "extauthz: needs-reason: the rule wants a reason; say it by --reason\n",
    )


def test_a_certificate_of_nobody_known_is_told_with_what_to_do(desk: Desk) -> None:
    authority = create_authority(desk.folder / "authority.pem", common_name="somebody", now=datetime.now(UTC))
    server = authority.issue_server(desk.folder / "server")
    trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trusted.load_cert_chain(server.certificate, server.key)
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor() as threads:
        threads.submit(refused, listening, trusted)
        ended = ran(desk, "list", "--url", f"https://127.0.0.1:{listening.getsockname()[1]}", who=ANNA)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert ended.stderr.endswith("; name the authorities of its certificate by --ca\n")


def refused(listening: socket.socket, trusted: ssl.SSLContext) -> None:
    """Take a connection of somebody who does not trust who listens."""
    connected, _ = listening.accept()
    with connected, suppress(ssl.SSLError):
        trusted.wrap_socket(connected, server_side=True).close()


def test_nobody_listens_there_is_told_in_a_line(desk: Desk) -> None:
    ended = ran(desk, "list", "--url", "http://127.0.0.1:1", who=ANNA)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize("by_api", [False, True], ids=["store", "api"])
def test_changes_are_told_as_they_come(desk: Desk, by_api: bool) -> None:
    first = desk.opened().id
    words = [EXECUTABLE, "approvals", "watch", "--status", "pending", "--format", "json"]
    words += ["--url", desk.url] if by_api else []
    watching = subprocess.Popen(
        words, cwd=desk.folder, env={**os.environ, "APPROVALS_TOKEN": ANNA}, stdout=subprocess.PIPE, text=True
    )
    try:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["id"] == first
        desk.vote(first)
        assert len(json.loads(watching.stdout.readline())["votes"]) == 1
        second = desk.opened().id
        assert json.loads(watching.stdout.readline())["id"] == second
        desk.vote(first, token=BEN)
        told = json.loads(watching.stdout.readline())
        assert (told["id"], told["status"]) == (first, "approved")
    finally:
        watching.kill()
        watching.communicate()


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_list_has_whole_ids_and_loses_nothing(desk: Desk, width: int) -> None:
    opened = desk.opened()
    console = Console(width=width, file=StringIO(), highlight=False)
    console.print(table([approval_object(opened)], width=width))
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    assert opened.id in text
    assert max(len(line) for line in text.splitlines()) <= width
    joined = "".join(text.split())
    assert "…" not in joined
    if width < 160:
        for word in ("pending", instant(opened.opened_at), "bank/two", "uma", "https://bank.example.com/two"):
            assert word in joined
        assert "=5,000€" in joined


def test_a_list_shows_the_beginning_of_what_is_long(desk: Desk) -> None:
    told = approval_object(desk.opened())
    told["resource"]["properties"]["show"] = {"memo": "x" * 500}
    assert f"memo={'x' * 31}…" in line(told).plain
    assert "x" * 32 not in line(told).plain


def test_text_of_others_steers_no_terminal(desk: Desk) -> None:
    id_ = desk.opened(requesters=Requesters(persons=("\x1b[2Juma",))).id
    desk.vote(id_, reason="\x1b[31mred\x07")
    for text in (ran(desk, "show", id_).stdout, ran(desk, "list").stdout):
        assert id_ in text
        assert "\x1b" not in text
        assert "\x07" not in text
