"""What a browser sends to a page, read with distrust.

The rule: a form counts only if our own page sent it, is small, and says each thing once.
"""

from urllib.parse import parse_qsl, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

MAX_FORM_BYTES = 32_768
"""A ticket of MAX_TICKET_LENGTH and a code fit."""

_FORM_TYPE = "application/x-www-form-urlencoded"
_MAX_FIELDS = 8


def is_from_own_page(request: Request) -> bool:
    """Whether a page of this very origin sent this POST (login CSRF, and forms of sibling domains).

    Browsers since 2023 say so in `Sec-Fetch-Site`; with the page's `no-referrer` policy their `Origin` is then `null`
    (Fetch, "append a request Origin header"). From older ones `Origin` has to name this origin.
    """
    site, origin = request.headers.getlist("sec-fetch-site"), request.headers.getlist("origin")
    if origin not in ([], ["null"]) and not _names_this_host(origin, request):
        return False
    if site:
        return site == ["same-origin"]
    return _names_this_host(origin, request)


def _names_this_host(origin: list[str], request: Request) -> bool:
    hosts = request.headers.getlist("host")
    if len(origin) != 1 or len(hosts) != 1:
        return False
    try:
        parts = urlsplit(origin[0])
    except ValueError:
        return False
    return parts.scheme == "https" and parts.netloc.lower() == hosts[0].lower()


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a URL-encoded form, each of which comes once.

    Raises:
        HTTPException: 415 for another type, 413 for more than MAX_FORM_BYTES, 400 for anything malformed.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM_TYPE:
        raise HTTPException(415)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_FORM_BYTES:
                raise HTTPException(413)
    except ClientDisconnect as error:
        raise HTTPException(400) from error
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError as error:
        raise HTTPException(400) from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise HTTPException(400)
    return fields
