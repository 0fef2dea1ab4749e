"""`extauthz approvals`: what waits for an answer, what became of it, and the answers.

The rules: whoever runs the server may look at what is in its store, and answers nothing there; every answer goes
through the API, with the token of the person whose answer it is.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, get_args

import typer

from extauthz.approval import course
from extauthz.approval.view import approval_object
from extauthz.cli import approval_shapes, deliveries
from extauthz.cli.approval_answers import NotDone
from extauthz.cli.approval_asking import asking
from extauthz.cli.approval_client import Api, Ca, TokenFile, Url, path_of
from extauthz.cli.approval_ids import asked_for, checked, kept
from extauthz.cli.approval_tables import line, picture, table
from extauthz.cli.approver_link import link
from extauthz.cli.config_option import DEFAULT_CONFIG, Config
from extauthz.cli.policy_options import make_console, print_json
from extauthz.cli.printable import printable
from extauthz.cli.state import Format, Issuer, anybody_of, with_store
from extauthz.settings import Settings
from extauthz.store.approvals import ApprovalQuery
from extauthz.store.protocol import Store
from extauthz.values.approvals import Approval, State, Verdict

app = typer.Typer(name="approvals", no_args_is_help=True, help="Approvals, and who answers them.")
app.command(short_help="A link with which SUB logs in at the approvers' pages.")(link)
app.add_typer(deliveries.app)

_EVENTS: Final = "/v1/approvals/events"
_MOST: Final = 200
_STATES: Final[tuple[State, ...]] = get_args(State)

Id = Annotated[str, typer.Argument(metavar="ID", callback=checked, help="As `list` shows it, or its beginning.")]
Status = Annotated[
    list[str] | None,
    typer.Option("--status", metavar="STATUS", help=f"Only these, of {', '.join(_STATES)}; may be said several times."),
]
Rule = Annotated[str | None, typer.Option("--rule", metavar="POLICY/RULE", help="Only what this rule asks for.")]
Who = Annotated[
    str | None, typer.Option("--subject", metavar="SUBJECT", help="Only what this `sub` or SPIFFE ID asks.")
]
Mine = Annotated[bool, typer.Option("--mine", help="Only what you can answer or review now; with --url.")]
Unreviewed = Annotated[bool, typer.Option("--unreviewed", help="Only uses of break-glass that nobody has reviewed.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; some rules want one.")]


@app.command("list", short_help="List approvals.")
def list_(
    status: Status = None,
    rule: Rule = None,
    subject: Who = None,
    issuer: Issuer = None,
    mine: Mine = False,
    unreviewed: Unreviewed = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=_MOST, help="How many of the newest.")] = 50,
    url: Url = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    config: Config = DEFAULT_CONFIG,
    output: Format = "text",
) -> None:
    """List approvals, the newest first: those in the store, or with --url those that you may see."""
    sieve = _Sieve(states=_states(status), rule=rule, subject=subject, issuer=issuer, mine=mine, unreviewed=unreviewed)
    if url is not None:
        api = Api.of(url=url, token_file=token_file, ca=ca)
        rows = approval_shapes.page(api.get("/v1/approvals", {**sieve.parameters, "limit": limit}), api.url)[
            "approvals"
        ]
    else:

        async def work(settings: Settings, store: Store) -> list[dict[str, Any]]:
            page = await store.approvals(sieve.query(settings), most=limit)
            return [_described(one) for one in page.approvals]

        rows = with_store(config, work)
    if output == "json":
        print_json(rows)
    elif rows:
        console = make_console()
        console.print(table(rows, width=console.width))
    else:
        typer.echo("no approvals", err=True)


@app.command(short_help="Show one approval.")
def show(
    id_: Id,
    url: Url = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    config: Config = DEFAULT_CONFIG,
    output: Format = "text",
) -> None:
    """Show all of an approval: who asks for what and whom, why the rule asks, and who has answered."""
    if url is not None:
        api = Api.of(url=url, token_file=token_file, ca=ca)
        told = approval_shapes.approval(api.get(path_of(asked_for(api, id_))), api.url)
    else:

        async def work(settings: Settings, store: Store) -> dict[str, Any]:
            found = await kept(store, id_)
            if found is None:
                raise NotDone(
                    f"`{printable(id_)}`: there is no such approval; `extauthz approvals list` shows those there are"
                )
            return {**_described(found), **asking(settings, found, now=time.time())}

        told = with_store(config, work)
    _report(told, output)


@app.command(short_help="Show approvals as they change.")
def watch(
    status: Status = None,
    rule: Rule = None,
    subject: Who = None,
    issuer: Issuer = None,
    mine: Mine = False,
    unreviewed: Unreviewed = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    config: Config = DEFAULT_CONFIG,
    output: Format = "text",
) -> None:
    """Show what there is, the oldest first, and then every change, until Ctrl-C; as JSON one object a line."""
    console = make_console()

    def tell(told: Mapping[str, Any]) -> None:
        if output == "json":
            print_json(told, indent=None)
        else:
            console.print(line(told), soft_wrap=True)

    sieve = _Sieve(states=_states(status), rule=rule, subject=subject, issuer=issuer, mine=mine, unreviewed=unreviewed)
    if url is not None:
        api = Api.of(url=url, token_file=token_file, ca=ca)
        for told in api.events(_EVENTS, sieve.parameters):
            tell(approval_shapes.approval(told, api.url))
        return

    async def work(settings: Settings, store: Store) -> None:
        meant = sieve.query(settings)
        known: dict[str, Approval] = {}
        async for news in store.approval_news():
            ids = {*news.ids, *(known if news.everything else ())}
            found = dict(await store.approvals_of(tuple(ids))) if ids else {}
            if news.everything:
                page = await store.approvals(meant, most=_MOST)
                found |= {one.id: one for one in page.approvals}
            for one in sorted(found.values(), key=lambda one: (one.opened_at, one.id)):
                wanted, before = meant.includes(one), known.pop(one.id, None)
                if (wanted or before is not None) and before != one:
                    tell(_described(one))
                if wanted:
                    known[one.id] = one

    with_store(config, work)


@app.command(short_help="Vote for an approval.")
def approve(
    id_: Id,
    reason: Reason = "",
    url: Url = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    config: Config = DEFAULT_CONFIG,
    output: Format = "text",
) -> None:
    """Vote for an approval, as the person whose token it is. A one-time code is asked for if the rule wants one."""
    api = Api.of(url=url, token_file=token_file, ca=ca, config=config)
    _order(api, id_, "approve", {"reason": reason}, output)


@app.command(short_help="Vote against an approval.")
def deny(
    id_: Id,
    reason: Reason = "",
    url: Url = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    config: Config = DEFAULT_CONFIG,
    output: Format = "text",
) -> None:
    """Vote against an approval, as the person whose token it is."""
    api = Api.of(url=url, token_file=token_file, ca=ca, config=config)
    _order(api, id_, "deny", {"reason": reason}, output)


@app.command(short_help="Withdraw what you have asked for.")
def cancel(
    id_: Id,
    reason: Reason = "",
    url: Url = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    config: Config = DEFAULT_CONFIG,
    output: Format = "text",
) -> None:
    """Withdraw what you have asked for yourself."""
    api = Api.of(url=url, token_file=token_file, ca=ca, config=config)
    _order(api, id_, "cancel", {"reason": reason}, output)


@app.command(short_help="Take back what was given.")
def revoke(
    id_: Id,
    reason: Reason = "",
    url: Url = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    config: Config = DEFAULT_CONFIG,
    output: Format = "text",
) -> None:
    """Take back what was given: what rests on it counts no more."""
    api = Api.of(url=url, token_file=token_file, ca=ca, config=config)
    _order(api, id_, "revoke", {"reason": reason}, output)


@app.command(short_help="Say whether a break-glass was justified.")
def review(
    id_: Id,
    verdict: Annotated[Verdict, typer.Argument(metavar="justified|unjustified", help="What you have found.")],
    reason: Reason = "",
    url: Url = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    config: Config = DEFAULT_CONFIG,
    output: Format = "text",
) -> None:
    """Say whether a use of break-glass was justified; what rests on one that was not counts no more."""
    api = Api.of(url=url, token_file=token_file, ca=ca, config=config)
    _order(api, id_, "review", {"verdict": verdict, "reason": reason}, output)


def _order(api: Api, id_: str, verb: str, members: Mapping[str, str], output: Literal["text", "json"]) -> None:
    _report(approval_shapes.approval(api.post(path_of(asked_for(api, id_), verb), members), api.url), output)


def _report(told: Mapping[str, Any], output: Literal["text", "json"]) -> None:
    if output == "json":
        print_json(told)
    else:
        make_console().print(picture(told))


def _described(approval: Approval) -> dict[str, Any]:
    """What the store has, with what has become due of it since."""
    return approval_object(course.bring_up(approval, None, now=time.time()).approval)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sieve:
    """Which approvals somebody wants to see."""

    states: tuple[State, ...]
    rule: str | None
    subject: str | None
    issuer: str | None
    mine: bool
    unreviewed: bool

    def query(self, settings: Settings) -> ApprovalQuery:
        """For the store. Raises `BadParameter`, and `NobodyNamed` for a user who could be of several issuers."""
        if self.mine:
            raise typer.BadParameter("the store knows nobody's; ask the API with --url", param_hint="--mine")
        named = None if self.subject is None else anybody_of(settings, self.subject, self.issuer)
        states = frozenset(self.states) or None
        return ApprovalQuery(states=states, rule=self.rule, subject=named, unreviewed=self.unreviewed)

    @property
    def parameters(self) -> dict[str, Any]:
        """For the API."""
        texts = {"rule": self.rule, "subject": self.subject, "issuer": self.issuer}
        truths = {"mine": self.mine, "unreviewed": self.unreviewed}
        return {
            "status": list(self.states),
            **{name: text for name, text in texts.items() if text is not None},
            **{name: "true" for name, truth in truths.items() if truth},
        }


def _states(named: list[str] | None) -> tuple[State, ...]:
    """The states of these names. Raises `BadParameter`."""
    unknown = [name for name in named or () if name not in _STATES]
    if unknown:
        raise typer.BadParameter(f"`{unknown[0]}` is none; known are {', '.join(_STATES)}", param_hint="--status")
    return tuple(state for state in _STATES if state in (named or ()))
