"""What may be written under `webhooks:` and `email:`, and what is refused with a word on how it is written."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from telling.telling_parts import a_hook, an_email

from extauthz.approval.telling.config import ASKING
from extauthz.errors import ExtauthzError
from extauthz.settings import load_settings
from extauthz.values.letters import EVENT_KINDS


def refused(problem: pytest.ExceptionInfo[ValidationError]) -> str:
    return "; ".join(error["msg"] for error in problem.value.errors())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "email"}, "the name of what is sent by mail"),
        ({"name": "Audit"}, "can't be a name"),
        ({"name": "a\nb"}, "can't be a name"),
        ({"url": "http://hooks.example.com/"}, "https://"),
        ({"url": "https://user:secret@hooks.example.com/"}, "without user"),
        ({"url": "https://höoks.example.com/"}, "xn--"),
        ({"url": "https://hooks.example.com/a b"}, "ASCII"),
        ({"url": None}, "must not be empty"),
        ({"url": "https://hooks.example.com/", "url_from": {"file": "url"}}, "one of `url` and `url_from`"),
        ({"url": "https://10.0.0.7/in"}, "addresses: \\[10.0.0.7\\]"),
        ({"url": "https://[::ffff:10.0.0.7]/in"}, "no address of the internet"),
        ({"url": "http://127.0.0.1:8080/"}, "addresses: \\[127.0.0.1\\]"),
        ({"url": "http://localhost:8080/"}, "no address of the internet"),
        ({"addresses": ["10.0.0.0/8"], "url": "https://192.168.0.1/"}, "no address of the internet"),
        ({"addresses": ["10.0.0.1/8"]}, "is no network"),
        ({"addresses": ["10.0.0.0/8", "10.0.0.0/8"]}, "listed twice"),
        ({"secrets": []}, "nobody could tell who sends it"),
        ({"events": []}, "at least 1 item"),
        ({"events": ["opend"]}, "Input should be"),
        ({"events": ["opened", "opened"]}, "listed twice"),
        ({"headers": {"Webhook-Id": "x"}}, "set for each message"),
        ({"headers": {"content-length": "1"}}, "set for each message"),
        ({"headers": {"host": "x"}}, "set for each message"),
        ({"headers": {"x y": "1"}}, "no name of a header"),
        ({"headers": {"x-a": "1\r\nx-b: 2"}}, "one line of ASCII"),
        ({"headers": {"x-a": "ü"}}, "one line of ASCII"),
        ({"headers": {"x-a": "1"}, "secret_headers": {"X-A": {"file": "f"}}}, "keep one"),
        ({"timeout": "0s"}, "longer than nothing"),
        ({"timeout": "2m"}, "at most 1m"),
        ({"max_age": "31d"}, "at most 30d"),
        ({"attempts": 0}, "greater than or equal to 1"),
        ({"colour": "red"}, "not permitted"),
    ],
)
def test_a_webhook_that_could_not_be_meant_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as problem:
        a_hook(**changed)
    assert re.search(message, refused(problem))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"from": "extauthz"}, "no mail address"),
        ({"from": "a@example.com\r\nBcc: b@example.com"}, "no mail address"),
        ({"from": '"a b"@example.com'}, "no mail address"),
        ({"from": "a..b@example.com"}, "no mail address"),
        ({"to": {"always": ["a@example.com, b@example.com"]}}, "no mail address"),
        ({"to": {}}, "nobody gets mail"),
        ({"to": {"groups": {"treasury": []}}}, "at least 1 item"),
        ({"host": "smtp.example.com:25"}, "no name or address of a server"),
        ({"port": 0}, "greater than or equal to 1"),
        ({"username": "u"}, "belong together"),
        ({"username": "u", "password": {"file": "p"}}, "in the clear"),
    ],
)
def test_mail_that_could_not_be_meant_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as problem:
        an_email(**changed)
    assert message in refused(problem)


def test_systems_are_told_of_everything_and_people_of_what_they_must_do() -> None:
    assert a_hook().wants == EVENT_KINDS
    assert a_hook(format="slack", secrets=[]).wants == an_email().events == ASKING
    assert a_hook(format="teams", events=["denied"]).wants == ("denied",)


def test_a_server_of_mail_has_the_port_of_its_kind() -> None:
    ports = {
        tls: an_email(port=587, tls=tls).model_copy(update={"port": None}).where for tls in ("starttls", "implicit")
    }
    assert ports == {"starttls": 587, "implicit": 465}
    assert an_email().model_copy(update={"port": None}).where == 25


CONFIG = """\
policies: [policies/]
approvals:
{approvals}
"""
BOTH = """\
  url: https://approvals.example.com
  webhooks:
    - {name: audit, url: "https://hooks.example.com/in", secrets: [{file: hook.secret}]}
    - {name: chat, format: slack, url_from: {variable: CHAT_URL}}
  email: {host: smtp.example.com, from: extauthz@example.com, to: {groups: {treasury: [treasury@example.com]}}}
"""


def settings_with(tmp_path: Path, approvals: str) -> Any:
    path = tmp_path / "extauthz.yaml"
    path.write_text(CONFIG.replace("{approvals}", approvals))
    return load_settings(path).approvals


def test_they_are_a_part_of_the_configuration(tmp_path: Path) -> None:
    approvals = settings_with(tmp_path, BOTH)
    assert [one.name for one in approvals.webhooks] == ["audit", "chat"]
    assert approvals.email.to.groups == {"treasury": ("treasury@example.com",)}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (BOTH.replace("  url: https://approvals.example.com\n", ""), "led to the pages"),
        (BOTH.replace("name: chat", "name: audit"), "`audit` is listed twice"),
        (BOTH.replace("format: slack", "format: irc"), "cloudevents"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, wrong: str, message: str) -> None:
    with pytest.raises(ExtauthzError, match=r"extauthz\.yaml:") as problem:
        settings_with(tmp_path, wrong)
    assert message in str(problem.value)
