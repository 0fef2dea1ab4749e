"""What a visitor can do once the walk is over: lines to copy, the page's address, the second factor.

The one-time code of the moment is kept in a file, so that a line with `$(cat …)` works whenever it is pasted.
"""

import contextlib
import shlex
from collections.abc import Callable, Iterator

import segno
from rich.console import Console
from rich.live import Live
from rich.text import Text

from extauthz.cli.quickstart.certificates import write_private
from extauthz.cli.quickstart.demo import Demo
from extauthz.cli.quickstart.people import ALICE

ACCOUNT = "/v1/accounts/acc-1"
LARGE = '{"amount": 3000}'


class Invitation:
    """Prints to `console` what can be done with `demo`; `spent` is the code that the walk has used."""

    def __init__(self, console: Console, demo: Demo, *, spent: str) -> None:
        self._console = console
        self._demo = demo
        self._spent = spent
        self._code = ""

    def show(self) -> None:
        """The lines to copy, the address and the second factor."""
        layout = self._demo.layout
        self._heading("Try it yourself")
        for comment, line in self._lines():
            self._plain(f"# {comment}", style="dim")
            self._plain(line)
        self._heading("In a browser")
        self._plain(f"{self._demo.url}/    log in as Alice, then open her payees or send more than 1,000")
        self._plain(f"The certificate is signed by {layout.ca}, which your browser does not know: go on anyway.")
        self._heading("Alice's second factor")
        uri = self._demo.authenticator.provisioning_uri()
        if self._console.is_terminal:
            segno.make(uri, error="m").terminal(compact=True)
        self._plain(uri)
        self._plain(
            f"Scan it with an authenticator app, or take the code of the moment: cat {self._quoted(layout.code)}"
        )
        self._heading("Files")
        self._plain(f"{layout.folder}    policies, configurations, logs; removed at the end unless --dir named it")

    @contextlib.contextmanager
    def live_code(self) -> Iterator[Callable[[float], None]]:
        """A function that is told the time (seconds since the epoch) and keeps the code on screen and in its file."""
        with Live(Text(), console=self._console, auto_refresh=False, transient=True) as live:

            def refresh(now: float) -> None:
                code, until = self._code_at(now)
                if code != self._code:
                    write_private(self._demo.layout.code, code.encode())
                    self._code = code
                left = f", good once; the next in {int(until - now)} s. Ctrl-C stops."
                text = Text.assemble("code ", (code, "bold"), left)
                live.update(text, refresh=self._console.is_terminal)

            yield refresh

    def _code_at(self, now: float) -> tuple[str, float]:
        """The code of this half minute, and when another one is shown; if the walk has used it the next one, which
        servers take a little early."""
        authenticator = self._demo.authenticator
        until = now - now % authenticator.interval + authenticator.interval
        if (code := authenticator.at(int(now))) != self._spent:
            return code, until
        return authenticator.at(int(until)), until + authenticator.interval

    def _lines(self) -> Iterator[tuple[str, str]]:
        layout = self._demo.layout
        curl = f"curl --cacert {self._quoted(layout.ca)} -i"
        shop = layout.workload("shop")
        certificate = f"--cert {self._quoted(shop.certificate)} --key {self._quoted(shop.key)}"
        token = f'-H "authorization: Bearer $(cat {self._quoted(layout.token(ALICE.sub))})"'
        body = f"--json {shlex.quote(LARGE)}"
        account, transfers = f"{self._demo.url}{ACCOUNT}", f"{self._demo.url}{ACCOUNT}/transfers"
        yield "nobody: 401", f"{curl} {account}"
        yield "Alice: 200", f"{curl} {token} {account}"
        yield "the shop for Alice, 3,000: 401, prove that it is you", f"{curl} {certificate} {token} {body} {transfers}"
        yield (
            "the same with a one-time code: 201",
            f'{curl} {certificate} {token} -H "x-extauthz-otp: $(cat {self._quoted(layout.code)})" {body} {transfers}',
        )

    def _quoted(self, path: object) -> str:
        return shlex.quote(str(path))

    def _heading(self, text: str) -> None:
        self._console.print(f"\n{text}", style="bold")

    def _plain(self, text: str, style: str = "") -> None:
        # Lines to copy are never wrapped and never read as markup.
        self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
