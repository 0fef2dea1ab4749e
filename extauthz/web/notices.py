"""What the pages say when there is nothing to fill in: one table, a status, a title and what to do now."""

from typing import Final

import msgspec


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A page without a form. `again`: it offers to start anew where the challenge began."""

    status: int
    title: str
    text: str
    again: bool = False


MALFORMED: Final = Notice(
    status=400,
    title="This link is not complete",
    text="Go back to the application and try again from there.",
)
FOREIGN: Final = Notice(
    status=403,
    title="This page belongs to another browser",
    text="A confirmation opens only in the browser that was asked for it. If somebody sent you this link, close the "
    "page: your code would confirm something of theirs. If it was you, start again.",
    again=True,
)
NOT_OUR_FORM: Final = Notice(
    status=403,
    title="This form was not sent by this page",
    text="Nothing was confirmed. Go back to the application and try again from there.",
)
EXPIRED: Final = Notice(
    status=410,
    title="This confirmation has expired",
    text="It was open for a few minutes only. Nothing was confirmed.",
    again=True,
)
USED: Final = Notice(
    status=409,
    title="This confirmation was used already",
    text="Each one serves once. If you still need it, start again.",
    again=True,
)
NOT_ENROLLED: Final = Notice(
    status=403,
    title="You have no second factor yet",
    text="This needs one, and none that it takes is set up for you. Ask your administrator to enroll you, then start "
    "again.",
    again=True,
)
NOT_ACCEPTED: Final = Notice(
    status=403,
    title="This can't be confirmed here",
    text="This needs a kind of second factor that can't be used on this page. Ask your administrator.",
)
BLOCKED: Final = Notice(
    status=403,
    title="You are blocked",
    text="Nothing was confirmed. Ask your administrator if you think that this is a mistake.",
)
SIGNED_OUT: Final = Notice(
    status=403,
    title="You are no longer logged in",
    text="Your session was ended meanwhile, and nothing was confirmed. Log in to the application, then start again.",
    again=True,
)
LOGIN_CALLED_OFF: Final = Notice(
    status=403,
    title="You were not logged in",
    text="The login was called off, or your provider has refused it. Nothing was confirmed.",
    again=True,
)
LOGIN_OF_ANOTHER: Final = Notice(
    status=403,
    title="That was the login of somebody else",
    text="Only who was asked can confirm this. Log in with the account that you use in the application; you may have "
    "to log out at your provider first.",
    again=True,
)
LOGIN_TOO_WEAK: Final = Notice(
    status=403,
    title="That login was not enough",
    text="This needs a new login at your provider, and maybe a stronger one than yours was. Nothing was confirmed.",
    again=True,
)
LOGIN_UNUSABLE: Final = Notice(
    status=403,
    title="That login can't be used",
    text="What your provider said of it does not fit what was asked. Nothing was confirmed. If it stays so, tell your "
    "administrator.",
    again=True,
)
NOT_FOUND: Final = Notice(status=404, title="There is no such page", text="Go back to the application.")
WRONG_METHOD: Final = Notice(
    status=405, title="This page can't be used like that", text="Go back to the application and try again."
)
TOO_LARGE: Final = Notice(
    status=413, title="That was too much", text="Nothing was confirmed. Go back to the application and try again."
)
WRONG_TYPE: Final = Notice(
    status=415, title="This is not a form", text="Nothing was confirmed. Go back to the application and try again."
)
UNAVAILABLE: Final = Notice(
    status=503,
    title="This can't be confirmed right now",
    text="Our side has a problem, not yours. Nothing was confirmed. Try again in a moment.",
)
PROVIDER_AWAY: Final = Notice(
    status=503,
    title="Your provider does not answer",
    text="Nobody can log in there right now, and nothing was confirmed. Try again in a moment.",
)
FAILED: Final = Notice(
    status=500,
    title="Something went wrong",
    text="Our side has a problem, not yours. Nothing was confirmed. Try again in a moment.",
)
LINK_MALFORMED: Final = Notice(
    status=400,
    title="This link is not complete",
    text="Open it whole, as it was given to you. If that does not help, ask your administrator for a new one.",
)
LINK_EXPIRED: Final = Notice(
    status=410,
    title="This link has expired",
    text="Nothing was set up with it. Ask your administrator for a new one.",
)
LINK_FOREIGN: Final = Notice(
    status=403,
    title="This link was opened in another browser",
    text="It belongs to the browser that began with it. If that was you, go on there. If it was not, tell your "
    "administrator at once: somebody else has your link.",
)
BEGUN_AGAIN: Final = Notice(
    status=409,
    title="This page is no longer in use",
    text="It belongs to one browser, and to what was begun there last. If that was in another tab, go on there. Else "
    "go back to the application and start again.",
)
LINK_USED: Final = Notice(
    status=409,
    title="This link was used already",
    text="Each link serves once. To change your second factors again, start from the application, or ask your "
    "administrator for a new one.",
)
LINK_ENDED: Final = Notice(
    status=410,
    title="This page was open for too long",
    text="It ends a quarter of an hour after you have proven who you are, or sooner if you have not. Start again from "
    "the application, or ask your administrator for a new link.",
)
FIRST_NEEDS_LINK: Final = Notice(
    status=403,
    title="You have no second factor yet",
    text="The first one is set up with a link from your administrator. Ask for one.",
)
NO_COOKIE: Final = Notice(
    status=400,
    title="Your browser kept no cookie",
    text="This page needs one to know your browser again. Allow cookies for this site, then start again.",
    again=True,
)
STALE: Final = Notice(
    status=409,
    title="This page was out of date",
    text="Nothing was changed: something else has happened since it was opened, perhaps in another tab.",
    again=True,
)
NOT_FIRST: Final = Notice(
    status=409,
    title="You have a second factor already",
    text="Nothing was added. One was set up while this page was open: show it, and then add another.",
    again=True,
)
LAST_FACTOR: Final = Notice(
    status=409,
    title="This is your last one",
    text="It stays: without it you could confirm nothing. Add another one first, or ask your administrator.",
    again=True,
)
TOO_MANY: Final = Notice(
    status=409,
    title="You have as many as there can be",
    text="Nothing was added. Remove one that you no longer use first.",
    again=True,
)
NOT_CHANGED: Final = Notice(
    status=403,
    title="This form was not sent by this page",
    text="Nothing was changed. Open your link again.",
)

NOT_WITHDRAWN: Final = Notice(
    status=403,
    title="This form was not sent by this page",
    text="Nothing was changed. Go back to the application and try again from there.",
)
NO_GLASS: Final = Notice(
    status=403,
    title="You can't go through without an approval",
    text="The rule does not let you, or somebody has answered meanwhile. Nothing was changed.",
    again=True,
)

BY_STATUS: Final = {notice.status: notice for notice in (MALFORMED, NOT_FOUND, WRONG_METHOD, TOO_LARGE, WRONG_TYPE)}
"""What stands for a plain HTTP status."""
