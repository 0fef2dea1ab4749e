"""The service behind Envoy: a small bank with an API, pages, and a login that sets a `session` cookie.

It checks nothing itself: who may do what is decided before a request gets here. Run as
`python -m extauthz.cli.quickstart.upstream --socket PATH --issuer-key FILE`.
"""

import argparse
import os
import time
from pathlib import Path

import uvicorn
from jinja2 import Environment, PackageLoader, select_autoescape
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from extauthz.cli.quickstart.people import PEOPLE
from extauthz.cli.quickstart.tokens import LIFETIME, TokenIssuer

BALANCES = {"acc-1": 12_400, "acc-2": 310, "acc-13": 9_999}
PAYEES = ("Rent, 850 a month", "Gas and water, 120 a month")

# What the caller may claim and extauthz must have replaced or removed; `/v1/accounts/…` shows what arrived.
SHOWN_HEADERS = ("x-authz-subject", "x-authz-workload", "x-extauthz-subject")


def create_upstream(issuer: TokenIssuer) -> Starlette:
    """The application; logins are signed by `issuer`."""
    pages = Environment(
        loader=PackageLoader("extauthz.cli.quickstart", "pages"), autoescape=select_autoescape(["html"])
    )

    def page(template: str, request: Request, **values: object) -> HTMLResponse:
        subject = request.headers.get("x-authz-subject")
        return HTMLResponse(pages.get_template(template).render(subject=subject, people=PEOPLE, **values))

    async def home(request: Request) -> Response:
        return page("home.html", request)

    async def payees(request: Request) -> Response:
        return page("payees.html", request, payees=PAYEES)

    async def transfer_form(request: Request) -> Response:
        typed = request.query_params
        return page("transfer.html", request, account=typed.get("account", "acc-1"), amount=typed.get("amount", "5000"))

    async def login(request: Request) -> Response:
        form = await request.form()
        person = next((person for person in PEOPLE if person.sub == form.get("person")), None)
        if person is None:
            return page("home.html", request)
        token = issuer.token(person.sub, person.claims, now=time.time())
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie("session", token, max_age=LIFETIME, secure=True, httponly=True, samesite="lax")
        return answer

    async def logout(_: Request) -> Response:
        answer = RedirectResponse("/", status_code=303)
        answer.delete_cookie("session", secure=True, httponly=True, samesite="lax")
        return answer

    return Starlette(
        routes=[
            Route("/", home),
            Route("/login", login, methods=["POST"]),
            Route("/logout", logout, methods=["POST"]),
            Route("/payees", payees),
            Route("/transfer", transfer_form),
            Route("/healthz", _health),
            Route("/v1/accounts/{account}", _account),
            Route("/v1/accounts/{account}/transfers", _transfer, methods=["POST"]),
            Route("/v1/ledger", _ledger),
        ]
    )


async def _health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _account(request: Request) -> Response:
    account = request.path_params["account"]
    return JSONResponse({"account": account, "balance": BALANCES.get(account), "headers_received": _shown(request)})


async def _transfer(request: Request) -> Response:
    order = await request.json()
    done = {"account": request.path_params["account"], "amount": order["amount"], "status": "booked"}
    return JSONResponse({**done, "headers_received": _shown(request)}, status_code=201)


async def _ledger(request: Request) -> Response:
    return JSONResponse({"total": sum(BALANCES.values()), "headers_received": _shown(request)})


def _shown(request: Request) -> dict[str, str]:
    return {name: request.headers[name] for name in SHOWN_HEADERS if name in request.headers}


def main() -> None:
    """Serve on a Unix socket until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", required=True)
    parser.add_argument("--issuer-key", required=True, type=Path)
    options = parser.parse_args()
    os.umask(0o077)
    upstream = create_upstream(TokenIssuer.read(options.issuer_key))
    uvicorn.run(upstream, uds=options.socket, log_level="warning", server_header=False)


if __name__ == "__main__":
    main()
