"""What the configuration of the approvers' pages must not say."""

from typing import Any

import pytest
from pydantic import ValidationError

from extauthz.web.approvals_config import ApprovalsSettings

URL = "https://approvals.example.com"
LOGIN = {"issuer": "https://people.example.com", "client_id": "extauthz"}


def test_a_login_is_good_for_an_hour_and_for_the_groups_of_one_issuer() -> None:
    login = ApprovalsSettings.model_validate({"url": URL, "login": LOGIN}).login
    assert login is not None
    assert (login.session, login.groups_claim) == (3600.0, "groups")
    assert (login.source.issuer, login.source.audiences) == ("https://people.example.com", ("extauthz",))


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"login": LOGIN}, "nobody can log in without pages"),
        ({"url": "http://approvals.example.com"}, "is no origin"),
        ({"url": f"{URL}/"}, "is no origin"),
        ({"url": f"{URL}/approvals"}, "is no origin"),
        ({"url": URL, "login": {**LOGIN, "session": "25h"}}, "must be at most 24h"),
        ({"url": URL, "login": {**LOGIN, "session": "10s"}}, "shorter than a minute"),
        ({"url": URL, "login": {**LOGIN, "subjects": {"https://idp.example.com": "sub"}}}, "is for users of other"),
        ({"url": URL, "login": {**LOGIN, "scopes": ["groups"]}}, "without `openid`"),
    ],
)
def test_what_could_let_nobody_in_is_refused_when_it_is_loaded(block: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ApprovalsSettings.model_validate(block)
