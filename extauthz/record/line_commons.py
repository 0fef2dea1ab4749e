"""What many audit lines have in common, put together once: how decisions came out, what they were about, and where
their callers were.

The rule kept here: what is known again is known by the very objects that it is of, or by equal texts; each holds them.
"""

from collections.abc import Mapping
from typing import Any, Final

from extauthz.record.brief import Brief
from extauthz.record.decision import DECISION_NAMES
from extauthz.record.fragments import encoded, text_of
from extauthz.record.masking import Keep, rule_line
from extauthz.values.decisions import Decision, RuleResult
from extauthz.values.identity import Identity
from extauthz.values.request import Peer

BEGUN: Final = b',"request":{"id":"'
"""What a line says before the id of the request."""
BEGUN_WITHOUT_ID: Final = b',"request":{'
BEHIND_ID: Final = b'",'
"""What parts that id from what comes next."""
_SHORT_TARGET: Final = 1_024
"""Characters up to which an outcome keeps what its last request was to: clients choose that."""


class Target:
    """What a request is to: what its line says before the path, and behind it and the query.

    `before` begins behind the id of the request. `closing` ends the path of one that has no query and was sent as that.
    """

    def __init__(self, method: str, scheme: str, host: str, authority: str, protocol: str) -> None:
        self._method: Final = method
        self._scheme: Final = scheme
        self._host: Final = host
        self._authority: Final = authority
        self._protocol: Final = protocol
        self.before: Final = b"".join(
            [
                BEHIND_ID,
                b'"method":%b,' % encoded(method),
                b'"scheme":%b,' % encoded(scheme) if scheme else b"",
                b'"host":%b,' % encoded(host),
                b'"authority":%b,' % encoded(authority) if authority else b"",
                b'"path":"',
            ]
        )
        self.behind: Final = b',"protocol":%b' % encoded(protocol) if protocol else b""
        self.closing: Final = b'"%b' % self.behind
        self.is_short: Final = len(self.before) + len(self.behind) <= _SHORT_TARGET

    def is_of(self, record: Brief) -> bool:
        """Whether the request is to the same."""
        return (
            record.method == self._method
            and record.host == self._host
            and record.authority == self._authority
            and record.scheme == self._scheme
            and record.protocol == self._protocol
        )


class Outcome:
    """How requests came out: what their lines say before the time that it took, and behind it.

    `begun` is the same as `came_out` up to the id of the request, which most have. `target` is what the last one was
    to, `asked` the only parameter of its query, up to the value, and `told` what the line says behind the path then;
    both are empty where it was another query.
    """

    def __init__(
        self,
        rules: tuple[RuleResult, ...],
        kind: type[Decision],
        reason: str,
        rule: str | None,
        status: int,
        revision: str,
        keep: Keep,
    ) -> None:
        self.keep: Final = keep
        self._rules: Final = rules
        self._kind: Final = kind
        self._reason: Final = reason
        self._rule: Final = rule
        self._status: Final = status
        by = "" if rule is None else f',"rule":{text_of(rule)}'
        self.decided: Final = (
            f'","decision":"{DECISION_NAMES[kind]}","reason":{text_of(reason)}{by},"status":{status}'
            f',"revision":{text_of(revision)},"duration_us":'
        ).encode()
        self.came_out: Final = b',"rules":%b' % encoded([rule_line(one) for one in rules]) if rules else b""
        self.begun: Final = b"%b%b" % (self.came_out, BEGUN)
        self.target: Target | None = None
        self.asked = ""
        self.told = b""

    def turn_to(self, target: Target) -> None:
        """Note what the last request was to, if it is short."""
        self.target = target if target.is_short else None
        self.asked, self.told = "", b""

    @property
    def size(self) -> int:
        """Characters that it takes."""
        return len(self.decided) + len(self.came_out)

    def is_of(
        self, rules: tuple[RuleResult, ...], kind: type[Decision], reason: str, rule: str | None, status: int
    ) -> bool:
        """Whether it is how that came out: by the very objects, which the words of a policy are."""
        return (
            rules is self._rules
            and kind is self._kind
            and reason is self._reason
            and rule is self._rule
            and status == self._status
        )


class Surroundings:
    """A caller at a connection, by the very objects, and what lines say of both."""

    def __init__(self, record: Brief, said: bytes) -> None:
        self._source: Final[Peer] = record.source
        self._identity: Final[Identity | None] = record.identity
        self._destination: Final[Peer] = record.destination
        self._context: Final[Mapping[str, str]] = record.context
        self._sni: Final = record.sni
        self._route: Final[Mapping[str, Any]] = record.route_metadata
        self.said: Final = said

    def is_of(self, record: Brief) -> bool:
        """Whether the request is from there, by them, and came the same way."""
        return (
            record.source is self._source
            and record.identity is self._identity
            and record.destination is self._destination
            and record.context is self._context
            and record.sni == self._sni
            and record.route_metadata is self._route
        )
