"""What the approvers' pages say when there is nothing to answer: one table, as `web.notices` is for the others."""

from typing import Final

from extauthz.web.notices import Notice

MISDIRECTED: Final = Notice(
    status=421,
    title="These pages are somewhere else",
    text="The approvers' pages answer by one address, and what has come here names another one. If you came by this "
    "one, tell your administrator: what stands in front of the pages does not pass the Host header on.",
)
NOT_LOGGED_IN: Final = Notice(
    status=403,
    title="You are not logged in",
    text="Nothing was done. Log in, then do it again.",
    again=True,
)
NO_PROVIDER: Final = Notice(
    status=404,
    title="You can't log in here",
    text="These pages are opened with a link from your administrator. Ask for one.",
)
LOGIN_MALFORMED: Final = Notice(
    status=400,
    title="This login can't be used",
    text="It is not complete, or it was begun somewhere else. Log in again.",
    again=True,
)
LOGIN_FOREIGN: Final = Notice(
    status=403,
    title="This login was begun in another browser",
    text="You are not logged in by it. If somebody sent you this address, close the page. If it was you, log in again.",
    again=True,
)
LOGIN_EXPIRED: Final = Notice(
    status=410,
    title="This login took too long",
    text="You are not logged in. Log in again.",
    again=True,
)
LOGIN_CALLED_OFF: Final = Notice(
    status=403,
    title="You were not logged in",
    text="The login was called off, or your provider has refused it.",
    again=True,
)
LOGIN_UNUSABLE: Final = Notice(
    status=403,
    title="That login can't be used",
    text="What your provider said of it does not fit what was asked. If it stays so, tell your administrator.",
    again=True,
)
NO_APPROVER: Final = Notice(
    status=403,
    title="You can't answer approvals",
    text="Your provider knows you, but nobody can tell here which person you are, or somebody acts for you. Ask your "
    "administrator.",
)
NO_OPERATOR: Final = Notice(
    status=403,
    title="Decisions are not for you to see",
    text="They are for operators. Ask your administrator if you should be one.",
)
TOO_MUCH_TO_KEEP: Final = Notice(
    status=403,
    title="Your login says too much",
    text="Your provider sends more groups than can be kept here. Ask your administrator to let it send fewer.",
)
LINK_MALFORMED: Final = Notice(
    status=400,
    title="This link is not complete",
    text="Open it whole, as it was given to you. If that does not help, ask your administrator for a new one.",
)
LINK_EXPIRED: Final = Notice(
    status=410,
    title="This link has expired",
    text="Nobody was logged in with it. Ask your administrator for a new one.",
)
LINK_USED: Final = Notice(
    status=409,
    title="This link was used already",
    text="Each link serves once, in one browser. If it was not you who has used it, tell your administrator at once.",
)
LOGGED_IN_ALREADY: Final = Notice(
    status=409,
    title="You are logged in as somebody else",
    text="Log out first if you want to log in with this link. If somebody else sent it to you, close the page.",
)
BLOCKED: Final = Notice(
    status=403,
    title="You are blocked",
    text="Nothing was done. Ask your administrator if you think that this is a mistake.",
)
SIGNED_OUT: Final = Notice(
    status=403,
    title="You are no longer logged in",
    text="Your session was ended. Log in again.",
    again=True,
)
LOGGED_OUT: Final = Notice(
    status=200,
    title="You are logged out",
    text="Your provider may still know you: log out there, too, if others use this browser.",
    again=True,
)
ABSENCE_GONE: Final = Notice(
    status=409,
    title="There is no such absence",
    text="It is over, or was ended already.",
    again=True,
)
NO_FACTOR: Final = Notice(
    status=403,
    title="This can't be confirmed here",
    text="The rule asks for a kind of second factor that can't be used on this page. Ask your administrator.",
)
NOT_OUR_FORM: Final = Notice(
    status=403,
    title="This form was not sent by this page",
    text="Nothing was done. Go back to the approvals and try again from there.",
)
STALE: Final = Notice(
    status=409,
    title="This page was out of date",
    text="Nothing was done: it was made for another login. Open it again.",
)
NO_COOKIE: Final = Notice(
    status=400,
    title="Your browser kept no cookie",
    text="These pages need one to know your browser again. Allow cookies for this site, then try again.",
    again=True,
)
MALFORMED: Final = Notice(
    status=400,
    title="That can't be used",
    text="Nothing was done. Go back to the approvals and try again from there.",
)
NOT_FOUND: Final = Notice(
    status=404,
    title="There is no such page",
    text="Perhaps what you look for is too old to be kept, or it is not for you to see. Here are the pages of "
    "approvers and operators alone: what an application has led you to is at that application's address.",
)
WRONG_METHOD: Final = Notice(
    status=405,
    title="This page can't be used like that",
    text="Go back to the approvals and try again.",
)
TOO_LARGE: Final = Notice(
    status=413,
    title="That was too much",
    text="Nothing was done. Write less.",
)
WRONG_TYPE: Final = Notice(
    status=415,
    title="This is not a form",
    text="Nothing was done. Go back to the approvals and try again.",
)
UNAVAILABLE: Final = Notice(
    status=503,
    title="This can't be done right now",
    text="Our side has a problem, not yours. Look whether it was done in a moment, and try again if it was not.",
)
PROVIDER_AWAY: Final = Notice(
    status=503,
    title="Your provider does not answer",
    text="Nobody can log in there right now. Try again in a moment.",
)
FAILED: Final = Notice(
    status=500,
    title="Something went wrong",
    text="Our side has a problem, not yours. Look whether it was done in a moment, and try again if it was not.",
)

BY_STATUS: Final = {notice.status: notice for notice in (MALFORMED, NOT_FOUND, WRONG_METHOD, TOO_LARGE, WRONG_TYPE)}
"""What stands for a plain HTTP status."""
