"""Subject identifiers (RFC 9493) and the complex subjects of Shared Signals: whom an event is about.

The rules: an identifier names somebody only as the configuration says, and who is out of the transmitter's scope ends
the token. What is malformed ends it, too; what names nobody here is told apart, and named.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from extauthz.identity import spiffe
from extauthz.identity.signals.config import Scope
from extauthz.identity.signals.tokens import TokenRefused
from extauthz.values.identity import Subject

SIMPLE: Final = "subject"
"""The member under which a subject stands that is not complex."""
_MOST_ALIASES: Final = 16
_LONGEST: Final = 2048
_MEMBERS: Final = ("application", "device", "group", "org_unit", "session", "tenant", "user")

Identifier = Mapping[str, Any]


class SessionName(msgspec.Struct, frozen=True, kw_only=True):
    """A session by its `sid`; `issuer` is `None` where only its user can tell whose it is."""

    issuer: str | None
    sid: str


class TokenName(msgspec.Struct, frozen=True, kw_only=True):
    """A token by its `jti`."""

    issuer: str
    jti: str


class SubjectReader:
    """Reads the subject of one token, of whom its transmitter may speak as `scope` says.

    Every method raises `TokenRefused` for what is malformed or out of scope, and tells what names nobody as nothing.
    """

    def __init__(self, subject: Identifier, scope: Scope) -> None:
        self._scope = scope
        self._members = _members(subject)

    @property
    def names_device(self) -> bool:
        """Whether it is a complex subject with a `device`."""
        return "device" in self._members

    def users(self) -> tuple[Subject, ...]:
        """The users and workloads that it names: the `user` of a complex subject, or all of a simple one."""
        identifier = self._members.get("user", self._members.get(SIMPLE))
        return () if identifier is None else tuple(dict.fromkeys(self._subjects(identifier, depth=0)))

    def session(self) -> SessionName | None:
        """The `session` of a complex subject."""
        identifier = self._members.get("session")
        if identifier is None:
            return None
        match identifier["format"]:
            case "opaque":
                return SessionName(issuer=None, sid=_text(identifier, "id"))
            case "iss_sub":
                named = self._in_scope(_text(identifier, "iss"), _text(identifier, "sub"))
                return SessionName(issuer=named.issuer, sid=named.id)
            case _:
                return None

    def simple_session(self) -> SessionName | None:
        """The session that a simple subject may be: an opaque identifier can be that of a user or of a session."""
        identifier = self._members.get(SIMPLE)
        if identifier is None or identifier["format"] != "opaque":
            return None
        return SessionName(issuer=None, sid=_text(identifier, "id"))

    def device(self, *, simple: bool) -> str | None:
        """The id of the `device` of a complex subject, or of a `simple` one, if devices are in scope."""
        identifier = self._members.get("device", self._members.get(SIMPLE) if simple else None)
        if identifier is None or not self._scope.devices:
            return None
        match identifier["format"]:
            case "opaque":
                return _text(identifier, "id")
            case "iss_sub":
                return self._in_scope(_text(identifier, "iss"), _text(identifier, "sub")).id
            case _:
                return None

    def token(self) -> TokenName | None:
        """The token that a simple subject is (SSF section 3)."""
        identifier = self._members.get(SIMPLE)
        if identifier is None or identifier["format"] != "jwt_id":
            return None
        named = self._in_scope(_text(identifier, "iss"), _text(identifier, "jti"))
        return TokenName(issuer=named.issuer, jti=named.id)

    def _subjects(self, identifier: Identifier, *, depth: int) -> list[Subject]:
        scope = self._scope
        match identifier["format"]:
            case "iss_sub":  # RFC 9493 section 3.2.3
                return [self._in_scope(_text(identifier, "iss"), _text(identifier, "sub"))]
            case "opaque":  # RFC 9493 section 3.2.4
                return _mapped(scope.opaque, _text(identifier, "id"))
            case "email":  # RFC 9493 section 3.2.2
                return _mapped(scope.email, _text(identifier, "email"))
            case "account":  # RFC 9493 section 3.2.1
                return _mapped(scope.account, _text(identifier, "uri"))
            case "uri":  # RFC 9493 section 3.2.7
                return self._workload(_text(identifier, "uri"))
            case "aliases" if depth == 0:  # RFC 9493 section 3.2.8: they are not nested
                return [one for alias in _aliases(identifier) for one in self._subjects(alias, depth=1)]
            case "aliases":
                raise TokenRefused("invalid_request", "`aliases` within `aliases`")
            case _:
                return []

    def _workload(self, uri: str) -> list[Subject]:
        workload = spiffe.parse(uri, verified_by="")
        if workload is None:
            return []
        if workload.trust_domain not in self._scope.trust_domains:
            raise TokenRefused("access_denied", "the subject is a workload of whom this transmitter may not speak")
        return [workload.subject]

    def _in_scope(self, issuer: str, id_: str) -> Subject:
        if issuer not in self._scope.issuers:
            raise TokenRefused("access_denied", "the subject is of an issuer of whom this transmitter may not speak")
        return Subject(issuer, id_)


def _members(subject: Identifier) -> Mapping[str, Identifier]:
    """The members of a complex subject (SSF section 3), or a simple one under SIMPLE; each with a format."""
    if _format(subject) != "complex":
        return {SIMPLE: subject}
    members = {name: member for name, member in subject.items() if name != "format"}
    if not members:
        raise TokenRefused("invalid_request", "a complex subject without members")
    found: dict[str, Identifier] = {}
    for name, member in members.items():
        if not isinstance(member, dict):
            raise TokenRefused("invalid_request", "a member of the complex subject is no subject identifier")
        if _format(member) == "complex":
            raise TokenRefused("invalid_request", "a complex subject within a complex subject")
        if name in _MEMBERS:
            found[name] = member
    return found


def _format(identifier: Identifier) -> str:
    named = identifier.get("format")  # RFC 9493 section 3: required
    if not isinstance(named, str):
        raise TokenRefused("invalid_request", "a subject identifier without `format`")
    return named


def _aliases(identifier: Identifier) -> list[Identifier]:
    aliases = identifier.get("identifiers")
    if not isinstance(aliases, list) or not 0 < len(aliases) <= _MOST_ALIASES:
        raise TokenRefused("invalid_request", f"`identifiers` is no list of 1 to {_MOST_ALIASES} identifiers")
    for alias in aliases:
        if not isinstance(alias, dict):
            raise TokenRefused("invalid_request", "an alias is no subject identifier")
        _format(alias)
    return aliases


def _mapped(issuer: str | None, id_: str) -> list[Subject]:
    """The user of `issuer` with this id; nobody where no issuer is configured."""
    return [] if issuer is None else [Subject(issuer, id_)]


def _text(identifier: Identifier, name: str) -> str:
    value = identifier.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST:
        raise TokenRefused("invalid_request", f"`{name}` of a subject is no text of 1 to {_LONGEST} characters")
    return value
