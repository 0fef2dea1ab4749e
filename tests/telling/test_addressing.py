"""Which letters a change of an approval leaves."""

from telling.telling_parts import NOW, a_hook, an_approval, an_email, letters_of, told

from extauthz.approval.telling.addressing import Audience

EMAIL = an_email(
    to={
        "groups": {"treasury": ["t1@example.com", "t2@example.com"], "audit": ["audit@example.com"]},
        "subjects": {"u7": ["u7@example.com"]},
        "persons": {"olga": ["olga@example.com"]},
        "always": ["all@example.com", "t1@example.com"],
    }
)


def test_there_is_one_letter_for_each_event_and_addressee() -> None:
    hooks = [a_hook(), a_hook(name="answers", events=["approved", "denied"])]
    letters = letters_of(an_approval(version=3), ("voted", "approved"), webhooks=hooks)
    assert [(one.sink, one.kind, one.event) for one in letters] == [
        ("audit", "voted", "apv-1-3-0"),
        ("audit", "approved", "apv-1-3-1"),
        ("answers", "approved", "apv-1-3-1"),
    ]
    assert len({one.id for one in letters}) == 3


def test_a_change_that_is_made_again_leaves_the_same_letters() -> None:
    once, again = (letters_of(an_approval(), webhooks=[a_hook()], email=EMAIL) for _ in range(2))
    assert once == again


def test_a_letter_says_what_there_was_when_it_was_written() -> None:
    approval = an_approval(version=2)
    notice = told(letters_of(approval, ("voted",), webhooks=[a_hook()])[0])
    assert (notice.kind, notice.at, notice.approval) == ("voted", NOW, approval)


def test_mail_goes_to_whoever_is_asked_and_to_nobody_twice() -> None:
    audience = Audience(
        groups=frozenset({"treasury", "other"}), subjects=frozenset({"u7", "u8"}), persons=frozenset({"olga"})
    )
    letters = letters_of(an_approval(), email=EMAIL, audience=audience)
    assert [one.to for one in letters] == [
        "t1@example.com",
        "t2@example.com",
        "u7@example.com",
        "olga@example.com",
        "all@example.com",
    ]
    assert {one.sink for one in letters} == {"email"}


def test_what_nobody_wants_leaves_no_letter() -> None:
    assert letters_of(an_approval(), ("voted",), webhooks=[a_hook(format="slack", secrets=[])], email=EMAIL) == ()
    assert letters_of(an_approval()) == ()
