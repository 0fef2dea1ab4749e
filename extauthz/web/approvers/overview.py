"""The list of approvals: what waits for whoever is logged in, and what was.

The rule: a list holds what its viewer may see, and nothing tells how much else there is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal, get_args
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from extauthz.check.approval_viewing import Seen, Viewing
from extauthz.store.approvals import ApprovalQuery
from extauthz.web.approvers.desk import Desk
from extauthz.web.approvers.picture import title_of

Show = Literal["pending", "unreviewed", "approved", "denied", "expired", "cancelled", "all"]
Whose = Literal["me", "everybody"]

MOST: Final = 50
REFRESH: Final = 30
"""Seconds after which relative times on an open page are made new."""

SHOWN: Final[dict[Show, str]] = {
    "pending": "waiting",
    "unreviewed": "through without an answer, to be looked at",
    "approved": "approved",
    "denied": "denied",
    "expired": "expired",
    "cancelled": "cancelled",
    "all": "all",
}
_LONGEST_RULE: Final = 256
_LONGEST_CURSOR: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filter:
    show: Show
    whose: Whose
    rule: str
    before: str

    @classmethod
    def of(cls, request: Request) -> "_Filter":
        """What the address asks for; what makes no sense is not asked for."""
        said = request.query_params
        show, whose = said.get("show", ""), said.get("for", "")
        return cls(
            show=next((one for one in get_args(Show) if one == show), "pending"),
            whose="everybody" if whose == "everybody" else "me",
            rule=said.get("rule", "").strip()[:_LONGEST_RULE],
            before=said.get("before", "")[:_LONGEST_CURSOR],
        )

    @property
    def query(self) -> ApprovalQuery:
        """What the store is asked."""
        rule = self.rule or None
        match self.show:
            case "all":
                return ApprovalQuery(rule=rule)
            case "unreviewed":
                return ApprovalQuery(rule=rule, unreviewed=True)
            case state:
                return ApprovalQuery(states=frozenset({state}), rule=rule)

    @property
    def mine(self) -> bool:
        """Whether only what the viewer can do something about is asked for."""
        return self.whose == "me" and self.show in ("pending", "unreviewed")

    def address(self, **changed: str) -> str:
        """The address of this list, with what is `changed`."""
        fields = {"show": self.show, "for": self.whose, "rule": self.rule, **changed}
        return "/?" + urlencode({name: value for name, value in fields.items() if value})


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The page `/`."""

    desk: Desk
    viewing: Viewing

    async def serve(self, request: Request) -> Response:
        """GET: the list that the address asks for."""
        session = self.desk.seated(request)
        asked, me = _Filter.of(request), session.approver
        try:
            page = await self.viewing.listed(asked.query, me, mine=asked.mine, most=MOST, before=asked.before)
        except ValueError:  # no store has said this cursor
            raise HTTPException(400) from None
        glass = ApprovalQuery(unreviewed=True)
        unreviewed = await self.viewing.listed(glass, me, mine=True, most=1)
        values = {
            "place": "list",
            "asked": asked,
            "shown": SHOWN,
            "rows": [(one, title_of(one.approval)) for one in page.seen],
            "older": asked.address(before=page.next) if page.next else None,
            "newest": asked.address() if asked.before else None,
            "unreviewed": bool(unreviewed.seen) and asked.show != "unreviewed",
            "live": f"{_mark(page.seen)}-{len(unreviewed.seen)} {int(self.desk.clock() // REFRESH)}",
        }
        return self.desk.render("list.html", session, values)


def _mark(seen: Sequence[Seen]) -> str:
    """What tells this list from others."""
    said = "\n".join(f"{one.approval.id} {one.approval.version} {one.approval.state}" for one in seen)
    return sha256(said.encode()).hexdigest()[:16]
