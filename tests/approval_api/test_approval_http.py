"""The HTTP API for approvals: who sees and answers what, and what everybody else is told."""

import time
from pathlib import Path

import httpx
import jsonschema
from approval_api.answering_people import (
    ANNA,
    APP,
    BEN,
    CLEO,
    PEOPLE,
    STRANGER,
    Desk,
    answering,
    configure,
    token,
    with_users,
)

from extauthz.identity.revocations import Revocation
from extauthz.values.identity import Subject
from extauthz.web.approval_openapi import OPENAPI


def test_two_persons_approve_and_everything_is_shown_on_the_way(desk: Desk) -> None:
    id_ = desk.opened().id
    first = desk.ask("GET", f"/v1/approvals/{id_}").json()
    assert (first["status"], first["rule"], first["counted"]["approve"], first["needed"]["approve"]) == (
        "pending",
        "bank/two",
        0,
        2,
    )
    assert first["subject"] == {
        "type": "user",
        "id": "uma",
        "properties": {
            "issuer": APP,
            "claims": {"status": "employed", "tenant": "t1"},
            "actors": [],
            "workload": "spiffe://prod.example.org/ns/shop/sa/bot",
        },
    }
    assert first["action"] == {"name": "POST"}
    assert first["resource"]["id"] == "https://bank.example.com/two"
    assert first["resource"]["properties"]["show"] == {"amount": "5,000 €"}
    assert first["why"] == "variables.amount > 1000.0"
    voted = desk.vote(id_, reason="looks right").json()
    assert (voted["status"], voted["counted"]["approve"], voted["viewer"]["against"]) == ("pending", 1, "voted-already")
    done = desk.vote(id_, token=BEN).json()
    assert (done["status"], done["counted"]["approve"]) == ("approved", 2)
    assert [(one["person"], one["name"], one["stance"], one["channel"]) for one in done["votes"]] == [
        ("anna", "Anna", "approve", "api"),
        ("ben", "Ben", "approve", "api"),
    ]
    assert desk.granted() == [id_]


def test_who_denies_counts_too(desk: Desk) -> None:
    id_ = desk.opened().id
    assert desk.vote(id_, "deny", reason="no").json()["status"] == "pending"
    denied = desk.vote(id_, "deny", token=BEN).json()
    assert denied["status"] == "denied"
    assert denied["cooldown_until"] > denied["status_at"]
    late = desk.vote(id_, token=CLEO)
    assert (late.status_code, late.json()["reason"]) == (409, "not-pending")


def test_nobody_answers_what_they_ask_for_under_any_name(desk: Desk) -> None:
    by_person = desk.opened().id
    uma = token("uma", "treasury")
    for stance in ("approve", "deny"):
        answer = desk.vote(by_person, stance, token=uma)
        assert (answer.status_code, answer.json()["reason"]) == (403, "requester")
    spelled = desk.vote(by_person, token=token("UMA", "treasury"))
    assert (spelled.status_code, spelled.json()["reason"]) == (403, "requester")
    shown = desk.ask("GET", f"/v1/approvals/{by_person}", token=uma).json()
    assert shown["viewer"] == {
        "asks": True,
        "against": "requester",
        "in_place_of": None,
        "may_cancel": True,
        "may_review": False,
        "may_revoke": False,
    }
    assert shown["votes"] == []


def test_one_person_has_one_vote(desk: Desk) -> None:
    id_ = desk.opened().id
    assert desk.vote(id_).status_code == 200
    for stance, who in (("approve", ANNA), ("deny", ANNA), ("approve", token("Anna", "treasury"))):
        again = desk.vote(id_, stance, token=who)
        assert (again.status_code, again.json()["reason"]) == (409, "voted-already")
    assert desk.ask("GET", f"/v1/approvals/{id_}").json()["counted"] == {"approve": 1, "deny": 0}


def test_what_does_not_concern_somebody_is_not_there(desk: Desk) -> None:
    id_ = desk.opened().id
    for path in (f"/v1/approvals/{id_}", "/v1/approvals/nothing"):
        answer = desk.ask("GET", path, token=STRANGER)
        assert (answer.status_code, answer.json()["reason"]) == (404, "not-found")
    assert desk.ask("GET", "/v1/approvals", token=STRANGER).json() == {"approvals": [], "next": None}
    for verb in ("approve", "deny", "cancel", "revoke", "review"):
        sent = {"reason": "x"} | ({"verdict": "justified"} if verb == "review" else {})
        answers = [
            desk.ask("POST", f"/v1/approvals/{one}/{verb}", token=STRANGER, json=sent) for one in (id_, "nothing")
        ]
        assert {one.text for one in answers} == {answers[0].text}, "which tells nobody what there is"
        assert (answers[0].status_code, answers[0].json()["reason"]) == (404, "not-found")
    assert desk.ask("GET", f"/v1/approvals/{id_}").json()["status"] == "pending"


def test_who_acts_for_an_approver_or_is_no_person_answers_nothing(desk: Desk) -> None:
    id_ = desk.opened().id
    agent = token("anna", "treasury", act={"sub": "agent"})
    answer = desk.vote(id_, token=agent)
    assert (answer.status_code, answer.json()["reason"]) == (403, "acted-for")
    assert desk.ask("GET", f"/v1/approvals/{id_}").json()["votes"] == []


def test_who_is_blocked_or_revoked_answers_nothing_any_more(desk: Desk) -> None:
    id_ = desk.opened().id
    now = time.time()
    for kind, sub in (("block", "anna"), ("tokens", "ben")):
        put = Revocation(kind=kind, subject=Subject(PEOPLE, sub), at=now)  # type: ignore[arg-type] # both are kinds
        desk.run(desk.store.put_revocation(put, now=now))
    desk.run(desk.feed.load())
    for who, status, word in ((ANNA, 403, "subject-blocked"), (BEN, 401, "unauthenticated")):
        answer = desk.vote(id_, token=who)
        assert (answer.status_code, answer.json()["reason"]) == (status, word)
    assert desk.vote(id_, token=CLEO).status_code == 200


def test_a_reason_is_given_where_the_rule_wants_one(desk: Desk) -> None:
    id_ = desk.opened("one").id
    for sent, word in (
        ({}, "needs-reason"),
        ({"reason": " "}, "needs-reason"),
        ({"reason": "x" * 2001}, "reason-too-long"),
    ):
        answer = desk.vote(id_, **sent)
        assert (answer.status_code, answer.json()["reason"]) == (422, word)
    assert desk.vote(id_, reason="as agreed").json()["votes"][0]["reason"] == "as agreed"


def test_a_fresh_factor_is_a_code_or_the_token_s_own_and_nothing_else(desk: Desk) -> None:
    id_ = desk.opened("fresh").id
    refused = desk.vote(id_)
    told = refused.json()
    assert (refused.status_code, told["reason"]) == (401, "needs-factor")
    assert (told["factors"], told["max_age"]) == (["otp"], 120)
    assert told["page"] == f"https://approvals.example.com/approvals/{id_}"
    challenge = 'Bearer error="insufficient_user_authentication", max_age="120"'
    assert refused.headers["www-authenticate"] == challenge
    assert desk.vote(id_, code="123456").json()["reason"] == "not-enrolled"
    app = desk.enroll("anna")
    wrong = f"{(int(app.now()) + 1) % 1_000_000:06}"
    assert desk.vote(id_, code=wrong).json()["reason"] == "wrong-code"
    code = app.now()
    voted = desk.vote(id_, code=code).json()
    assert (voted["status"], voted["votes"][0]["factor"]) == ("approved", "otp")
    other = desk.opened("fresh").id
    again = desk.vote(other, code=code)
    assert (again.status_code, again.json()["reason"]) == (401, "code-used")
    now = int(time.time())
    for said in (
        {"auth_time": now - 300, "amr": ["otp"]},
        {"auth_time": now, "amr": ["pwd"]},
        {"amr": ["otp"]},
    ):
        assert desk.vote(other, token=token("ben", "treasury", **said)).json()["reason"] == "needs-factor"
    fresh = token("ben", "treasury", auth_time=now - 5, amr=["otp"])
    assert desk.vote(other, token=fresh).json()["votes"][0]["factor"] == "otp"


def test_no_code_is_looked_at_for_what_is_refused_anyway(desk: Desk) -> None:
    id_ = desk.opened("fresh").id
    app = desk.enroll("uma")
    code = app.now()
    uma = token("uma", "treasury")
    assert desk.vote(id_, token=uma, code=code).json()["reason"] == "requester"
    mine = desk.opened("fresh", requesters=desk.opened("two").requesters.__class__(persons=("zoe",))).id
    assert desk.vote(mine, token=uma, code=code).json()["status"] == "approved"


def test_who_asks_can_cancel_and_nobody_else(desk: Desk) -> None:
    id_ = desk.opened().id
    refused = desk.ask("POST", f"/v1/approvals/{id_}/cancel", json={})
    assert (refused.status_code, refused.json()["reason"]) == (403, "not-the-requester")
    cancelled = desk.ask("POST", f"/v1/approvals/{id_}/cancel", token=token("uma"), json={"reason": "not now"}).json()
    assert (cancelled["status"], cancelled["cancelled"]["person"], cancelled["cancelled"]["reason"]) == (
        "cancelled",
        "uma",
        "not now",
    )


def test_what_was_given_can_be_taken_back(desk: Desk) -> None:
    id_ = desk.opened("one").id
    early = desk.ask("POST", f"/v1/approvals/{id_}/revoke", json={})
    assert (early.status_code, early.json()["reason"]) == (409, "not-approved")
    desk.vote(id_, reason="yes")
    assert desk.granted() == [id_]
    revoked = desk.ask("POST", f"/v1/approvals/{id_}/revoke", token=BEN, json={"reason": "changed"}).json()
    assert (revoked["revoked"]["person"], revoked["revoked"]["reason"]) == ("ben", "changed")
    assert desk.granted() == []


def test_a_broken_glass_is_reviewed_by_somebody_else(desk: Desk) -> None:
    id_ = desk.opened("glass", glass=True).id
    waiting = desk.ask("GET", "/v1/approvals?unreviewed=true").json()["approvals"]
    assert [one["id"] for one in waiting] == [id_]
    assert waiting[0]["break_glass"]["reason"] == "the house burns"
    path = f"/v1/approvals/{id_}/review"
    assert (
        desk.ask("POST", path, token=token("uma", "treasury"), json={"verdict": "justified", "reason": "x"}).json()[
            "reason"
        ]
        == "requester"
    )
    for sent, status in (({}, 400), ({"verdict": "fine"}, 400), ({"verdict": "justified"}, 422)):
        assert desk.ask("POST", path, json=sent).status_code == status
    reviewed = desk.ask("POST", path, json={"verdict": "unjustified", "reason": "no fire"}).json()
    assert reviewed["break_glass"]["review"]["verdict"] == "unjustified"
    assert reviewed["revoked"]["person"] == "anna"
    again = desk.ask("POST", path, token=BEN, json={"verdict": "justified", "reason": "x"})
    assert (again.status_code, again.json()["reason"]) == (409, "reviewed-already")
    assert desk.ask("GET", "/v1/approvals?unreviewed=true").json()["approvals"] == []


def test_the_list_is_filtered_and_comes_in_pages(desk: Desk) -> None:
    ids = [desk.opened("two").id for _ in range(3)] + [desk.opened("one").id for _ in range(2)]
    desk.vote(ids[0], reason="yes")
    desk.vote(ids[3], reason="yes")

    def listed(query: str) -> list[str]:
        return [one["id"] for one in desk.ask("GET", f"/v1/approvals?{query}").json()["approvals"]]

    assert listed("") == ids[::-1]
    assert listed("status=approved") == [ids[3]]
    assert listed("status=approved&status=pending") == ids[::-1]
    assert listed("rule=bank/one") == [ids[4], ids[3]]
    assert listed("mine=true") == [ids[4], ids[2], ids[1]]
    assert listed(f"subject=uma&issuer={APP}") == ids[::-1]
    assert listed(f"subject=uma&issuer={PEOPLE}") == []
    assert listed("subject=spiffe://prod.example.org/ns/shop/sa/bot") == []
    paged, cursor = [], ""
    while True:
        page = desk.ask("GET", f"/v1/approvals?limit=2&cursor={cursor}").json()
        paged += [one["id"] for one in page["approvals"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert paged == ids[::-1]


def test_a_subject_is_of_the_only_issuer_of_users(tmp_path: Path) -> None:
    with answering(with_users(configure(tmp_path), APP)) as desk:
        id_ = desk.opened().id
        for query, found in (("subject=uma", [id_]), ("subject=anna", []), (f"subject=uma&issuer={PEOPLE}", [])):
            listed = desk.ask("GET", f"/v1/approvals?{query}").json()["approvals"]
            assert [one["id"] for one in listed] == found


def test_a_subject_of_several_issuers_is_nobody(tmp_path: Path) -> None:
    with answering(with_users(configure(tmp_path), APP, PEOPLE)) as desk:
        answer = desk.ask("GET", "/v1/approvals?subject=uma")
        assert (answer.status_code, "`issuer` is missing" in answer.json()["detail"]) == (400, True)


def test_a_right_is_used_in_the_place_of_who_is_away(desk: Desk) -> None:
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    away = desk.ask("POST", "/v1/absences", json={"until": until, "delegate": "stranger", "note": "sea"})
    assert (away.status_code, away.json()["person"], away.json()["delegate"]) == (201, "anna", "stranger")
    assert desk.ask("GET", "/v1/absences", token=STRANGER).json()["absences"] == [away.json()]
    id_ = desk.opened().id
    voted = desk.vote(id_, token=STRANGER).json()
    assert (voted["votes"][0]["person"], voted["votes"][0]["in_place_of"]) == ("stranger", "anna")
    assert desk.vote(id_).json()["reason"] == "voted-already"
    path = f"/v1/absences/{away.json()['id']}"
    assert desk.ask("DELETE", path, token=STRANGER).status_code == 404
    assert desk.ask("DELETE", path).status_code == 204
    assert desk.ask("DELETE", path).status_code == 404
    for sent, status in (
        ({}, 400),
        ({"until": "tomorrow"}, 400),
        ({"until": "2026-11-21T10:00:00"}, 400),
        ({"until": "2020-01-01T00:00:00Z"}, 422),
        ({"until": until, "delegate": "anna"}, 422),
    ):
        assert desk.ask("POST", "/v1/absences", json=sent).status_code == status


def test_what_can_not_be_meant_is_a_problem_that_says_why(desk: Desk) -> None:
    id_ = desk.opened().id
    for query, detail in (
        ("status=open", "`open` is no status"),
        ("limit=0", "`limit` is no number"),
        ("limit=9999", "`limit` is no number"),
        ("limit=0000000019999999", "`limit` is no number"),
        ("limit=x", "`limit` is no number"),
        ("who=x", "unknown `who`"),
        ("rule=a&rule=b", "`rule` is there twice"),
        ("mine=yes", "`mine` is neither"),
        ("subject=uma", "`issuer` is missing"),
        ("issuer=x", "`subject` is missing"),
        ("cursor=nonsense", "`cursor`"),
    ):
        answer = desk.ask("GET", f"/v1/approvals?{query}")
        assert (answer.status_code, answer.json()["reason"]) == (400, "malformed"), query
        assert detail in answer.json()["detail"]
    path = f"/v1/approvals/{id_}/approve"
    json_type = {"content-type": "application/json"}
    for body, headers, status in (
        (b"[]", json_type, 400),
        (b'{"reason": "a", "reason": "b"}', json_type, 400),
        (b'{"why": "a"}', json_type, 400),
        (b'{"reason": 1}', json_type, 400),
        (b'{"reason": "\\ud800"}', json_type, 400),
        (b'{"reason": "' + b"x" * 9000 + b'"}', json_type, 413),
        (b"reason=a", {"content-type": "application/x-www-form-urlencoded"}, 415),
        (b"", json_type, 400),
    ):
        assert desk.ask("POST", path, content=body, headers=headers).status_code == status
    assert desk.ask("GET", f"/v1/approvals/{id_}").json()["votes"] == []


def test_it_describes_itself_and_is_all_that_is_described(desk: Desk) -> None:
    assert httpx.get(f"{desk.url}/openapi.json").json() == OPENAPI
    for path, operations in OPENAPI["paths"].items():
        for verb in operations.keys() & {"get", "post", "delete"}:
            answer = desk.ask(verb.upper(), path.replace("{id}", "x"), token=None)
            assert answer.status_code == 401
            if "{id}" in path:
                found = desk.ask(verb.upper(), path.replace("{id}", "x"), json={"verdict": "justified"})
                assert found.status_code in (400, 404)
    for schema in OPENAPI["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
