"""The API for approvals as the commands ask it, for the person whose token they are given.

The rules: the token comes from a file or a variable, never from the command line, where all users of the machine can
read it; and it travels in the clear on this machine alone.
"""

import os
import ssl
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec
import typer

from extauthz.cli.approval_answers import Answer, NotDone, events, whole
from extauthz.cli.printable import printable
from extauthz.cli.this_machine import is_here
from extauthz.errors import failure_of
from extauthz.files import open_file
from extauthz.lookup.peers import read_secret
from extauthz.settings import load_settings

if TYPE_CHECKING:
    import httpx

TOKEN_VARIABLE: Final = "APPROVALS_TOKEN"  # noqa: S105 - a name
CODE_VARIABLE: Final = "APPROVALS_CODE"
_SECONDS: Final = 30.0
_NEEDS_FACTOR, _CODE = "needs-factor", "otp"
_ON_THE_COMMAND_LINE: Final = {"needs-reason": "the rule wants a reason; say it by --reason"}
"""What is told of a refusal in the words of these commands, not in those of the API."""
_UNTRUSTED: Final = "certificate_verify_failed"

Url = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", envvar="APPROVALS_URL", help="Where the approvers' API is, as `https://approvals.…`."
    ),
]
Ca = Annotated[
    Path | None, typer.Option("--ca", metavar="FILE", help="The authorities of the API's certificate.", dir_okay=False)
]
TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", metavar="FILE", help=f"Your token of the approvers' issuer; or set {TOKEN_VARIABLE}."),
]


class Api(msgspec.Struct, frozen=True, kw_only=True):
    """The API at `url`, asked with `token`."""

    url: str
    token: str
    trusted: ssl.SSLContext

    @classmethod
    def of(cls, *, url: str | None, token_file: Path | None, ca: Path | None, config: Path | None = None) -> "Api":
        """The API at `url`, or at the one in the configuration.

        Raises:
            NotDone: nobody says where it is or who asks.
            BadParameter: it can't be there, or the token would travel in the clear.
        """
        if url is None and config is not None and config.exists():
            url = load_settings(config).approvals.url
        if url is None:
            raise NotDone("nobody says where the approvers' API is; write it with --url, or as `approvals.url`")
        return cls(url=_checked(url), token=_token(token_file), trusted=_trusted(ca))

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        """What the API says at `path`. Raises `NotDone`."""
        with self._client() as client:
            return _said(self._sent(client, "GET", path, params=query))

    def post(self, path: str, members: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON
        """What becomes of an order; a one-time code is asked for where that is needed. Raises `NotDone`."""
        with self._client() as client:
            answer = self._sent(client, "POST", path, json=members)
            if _wants_code(answer) and (code := _code()) is not None:
                answer = self._sent(client, "POST", path, json={**members, "code": code})
            return _said(answer)

    def events(self, path: str, query: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """The approvals that a stream tells, until it ends. Raises `NotDone` for how."""
        import httpx

        with self._client() as client:
            try:
                with client.stream("GET", path, params=query, timeout=None) as response:
                    if response.status_code != httpx.codes.OK:
                        _said(whole(response))
                        raise NotDone(f"{response.url}: answered {response.status_code} with no stream")
                    for name, content in events(response):
                        if name == "end":
                            raise _refusal(content, 0)
                        yield content
                    raise NotDone("the server has ended the stream; watch again")
            except httpx.HTTPError as error:
                raise NotDone(f"{self.url}: {_failure(error)}") from error

    @contextmanager
    def _client(self) -> "Iterator[httpx.Client]":
        import httpx

        # Nothing compressed: of that a bound would say little.
        headers = {"authorization": f"Bearer {self.token}", "accept-encoding": "identity"}
        with httpx.Client(base_url=self.url, headers=headers, verify=self.trusted, timeout=_SECONDS) as client:
            yield client

    def _sent(self, client: "httpx.Client", method: str, path: str, **options: Any) -> Answer:  # noqa: ANN401 - httpx's
        import httpx

        try:
            with client.stream(method, path, **options) as response:
                return whole(response)
        except httpx.HTTPError as error:
            raise NotDone(f"{self.url}: {_failure(error)}") from error


def path_of(id_: str, verb: str = "") -> str:
    """The path of an approval, or of what is done with it. Raises `NotDone` for what is no id."""
    if not (id_.isascii() and id_.isalnum()):
        raise NotDone(f"`{printable(id_)}` is no id of an approval; `extauthz approvals list` shows them")
    return f"/v1/approvals/{id_}" + (f"/{verb}" if verb else "")


def _said(answer: Answer) -> Any:  # noqa: ANN401 - JSON
    content = answer.json()
    if 200 <= answer.status < 300:
        return content
    raise _refusal(content, answer.status)


def _refusal(problem: Any, status: int) -> NotDone:  # noqa: ANN401 - JSON
    told = problem if isinstance(problem, dict) else {}
    detail = _ON_THE_COMMAND_LINE.get(str(told.get("reason"))) or told.get("detail", "refused")
    page = f"; answer on {told['page']}" if "page" in told else ""
    return NotDone(printable(f"{told.get('reason', status)}: {detail}{page}"))


def _wants_code(answer: Answer) -> bool:
    if answer.content_type != "application/problem+json":
        return False
    problem = answer.json()
    if not isinstance(problem, dict) or problem.get("reason") != _NEEDS_FACTOR:
        return False
    factors = problem.get("factors")
    return isinstance(factors, list) and _CODE in factors


def _code() -> str | None:
    """The one-time code of whoever sits here, or that was left in the environment."""
    if CODE_VARIABLE in os.environ:
        return os.environ[CODE_VARIABLE]
    if not sys.stdin.isatty():
        return None
    code: str = typer.prompt("one-time code", hide_input=True, err=True)
    return code.strip()


def _checked(url: str) -> str:
    no_address = typer.BadParameter(f"`{url}` is no address; write `https://approvals.example.com`", param_hint="--url")
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket that is open
        raise no_address from None
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise no_address
    if parts.scheme == "http" and not is_here(parts.hostname):
        raise typer.BadParameter(f"`{url}` would send your token in the clear; write `https://`", param_hint="--url")
    return url.rstrip("/")


def _token(file: Path | None) -> str:
    token = read_secret(file) if file is not None else os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        raise NotDone(f"nobody says who answers; set {TOKEN_VARIABLE} to your token, or name its file by --token-file")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise NotDone("the token is no token; is it the right file or variable?")
    return token


def _trusted(ca: Path | None) -> ssl.SSLContext:
    try:
        with nullcontext() if ca is None else open_file(ca):
            return ssl.create_default_context(cafile=ca)
    except ssl.SSLError:
        raise NotDone(f"--ca: `{ca}` holds no certificates in PEM") from None
    except OSError as error:
        raise NotDone(f"--ca: `{ca}`: {failure_of(error)}") from error


def _failure(error: Exception) -> str:
    told = (str(error) or type(error).__name__).splitlines()[0].lower()
    return f"{told}; name the authorities of its certificate by --ca" if _UNTRUSTED in told else told
