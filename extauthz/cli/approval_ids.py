"""Approvals and letters by the beginning of their ids, as people type them.

The rules: a beginning means one of those that whoever asks is shown anyway, or nothing at all; so it tells nobody what
else there is. It is looked for among all of them, also among what is over: typed again after an answer, it never means
another one.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import typer

from extauthz.cli import approval_shapes
from extauthz.cli.approval_answers import NotDone
from extauthz.cli.approval_client import Api, path_of
from extauthz.cli.printable import printable
from extauthz.store.approvals import ApprovalQuery
from extauthz.store.protocol import Store
from extauthz.values.approvals import Approval

WHOLE: Final = 32
"""Characters of an id of an approval and of a letter."""
FEWEST: Final = 4
"""Characters of a beginning: with fewer it would soon mean several."""
_PAGE: Final = 200
_MOST_PAGES: Final = 500
_PATH: Final = "/v1/approvals"


def checked(id_: str) -> str:
    """An argument that can be an id or its beginning. Raises `BadParameter` for what can be none."""
    if not (id_.isascii() and id_.isalnum() and len(id_) <= WHOLE):
        raise typer.BadParameter(f"`{printable(id_)}` is no id; `list` shows them")
    if len(id_) < FEWEST:
        raise typer.BadParameter(f"`{id_}` is too short; write {FEWEST} characters of the id or more")
    return id_


def all_checked(ids: list[str] | None) -> list[str] | None:
    """As `checked`, of several."""
    return None if ids is None else list(map(checked, ids))


def is_whole(id_: str) -> bool:
    """Whether this is no beginning."""
    return len(id_) >= WHOLE


def meant(beginning: str, ids: Iterable[str]) -> str | None:
    """The one of `ids` that begins so, `None` if there is none.

    Raises:
        NotDone: there are several, or it is too short.
    """
    if len(beginning) < FEWEST:
        raise NotDone(f"`{printable(beginning)}` is too short; write {FEWEST} characters of the id or more")
    found: str | None = None
    for id_ in ids:
        if id_.startswith(beginning) and id_ != found:
            if found is not None:
                raise NotDone(f"`{beginning}` begins several, as `{found}` and `{id_}`; write more of the id")
            found = id_
    return found


def asked_for(api: Api, id_: str) -> str:
    """The id of an approval that the caller of the API may see. Raises `NotDone`."""
    path_of(id_)
    if is_whole(id_):
        return id_
    found = meant(id_, _seen(api))
    if found is None:
        raise NotDone(
            f"not-found: no approval that you may see begins with `{id_}`; `extauthz approvals list` shows them"
        )
    return found


def _seen(api: Api) -> Iterable[str]:
    page: Mapping[str, Any] = {"next": ""}
    for _ in range(_MOST_PAGES):
        page = approval_shapes.names(api.get(_PATH, {"limit": _PAGE, "cursor": page["next"]}), api.url)
        yield from (one["id"] for one in page["approvals"])
        if page["next"] is None:
            return
    raise NotDone(f"there are more than {_MOST_PAGES * _PAGE} approvals to look through; write the whole id")


async def kept(store: Store, id_: str) -> Approval | None:
    """The approval in the store with this id, or that beginning; `None` if there is none. Raises `NotDone`."""
    if is_whole(id_):
        return await store.approval(id_)
    ids: list[str] = []
    before = ""
    while True:
        page = await store.approvals(ApprovalQuery(), most=_PAGE, before=before)
        ids += (one.id for one in page.approvals if one.id.startswith(id_))
        before = page.next
        if not before:
            found = meant(id_, ids)
            return None if found is None else await store.approval(found)
