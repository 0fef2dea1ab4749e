"""What the listener for approvals says to programs where it serves nothing: which address serves what.

The rule: it names what the configuration serves, and nothing of what it holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from extauthz.web.json_api import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """`url` is the origin of the pages, `None` without pages; `api` is whether there is the one for programs."""

    url: str | None
    api: bool

    def misdirected(self) -> Response:
        """To who has asked for the pages by another name."""
        return self._told(
            HTTPStatus.MISDIRECTED_REQUEST,
            f"the pages answer as `{self.url}` alone: use that, and let what stands in front pass `Host` on",
        )

    def refused(self, _: Request, error: Exception) -> Response:
        """To who has asked for what is not there, or otherwise than it can be."""
        assert isinstance(error, HTTPException)  # noqa: S101 - it is called for nothing else
        status = HTTPStatus(error.status_code)
        words = "there is nothing at this path" if status is HTTPStatus.NOT_FOUND else status.phrase.lower()
        return self._told(status, words, headers=error.headers)

    def _told(self, status: HTTPStatus, words: str, *, headers: Mapping[str, str] | None = None) -> Response:
        pages = (
            "there are no pages (`approvals.url`)" if self.url is None else f"people find the pages at `{self.url}/`"
        )
        programs = "there is no API (`approvals.tokens`)"
        if self.api:
            programs = "programs find the API at `/v1/approvals` and its description at `/openapi.json`"
        return Problem(status, f"{words}; {pages}, {programs}", headers=headers).response
