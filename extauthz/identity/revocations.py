"""Who is blocked, and what was issued to them and counts no more.

The rules: every token of an identity is looked at, and everybody it is about; one hit is enough. What is revoked is
only ever widened, until somebody withdraws it or it ends. Looking costs the same however much is revoked.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import inf
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, Self, TypeGuard, get_args

from extauthz.errors import OAuthError, SubjectBlocked, TokenRevoked
from extauthz.identity.holders import session_of_sid
from extauthz.values.identity import Credential, Identity, Subject

Kind = Literal["block", "tokens", "session", "token", "device", "devices"]
"""A subject as such; what was issued to it until then; one session, by `sid`; one token, by `jti` or its digest; one
device, by id, whoever has used it; the devices that the subject has proven on until then."""
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
DIGEST_PREFIX: Final = "sha256:"
"""What the id of a token begins with that is meant by its digest, in lower-case hex (`identity.compact.digest_of`)."""
_OF_NO_ISSUER: Final = ""


class RevocationKey(NamedTuple):
    """What a revocation is about: `name` is a `sub` or SPIFFE ID, a `sid`, a `jti`, or a device, which is of no
    issuer: people of several may use it."""

    kind: Kind
    issuer: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """One thing that counts no more. Times are seconds since the epoch.

    `id` is the `sid`, the `jti` (or DIGEST_PREFIX and a digest) or the id of the device, of whatever kind has one. `at`
    is when it was revoked: tokens of `subject` that were issued later count. From `until` on it is as if it had never
    been.
    """

    kind: Kind
    subject: Subject
    id: str = ""
    at: float
    until: float = inf

    @classmethod
    def of_key(cls, key: RevocationKey, subject: Subject, *, at: float, until: float) -> Self:
        """The one of `subject` that has this key: what stores keep."""
        id_ = key.name if key.kind in ("session", "token", "device") else ""
        return cls(kind=key.kind, subject=subject, id=id_, at=at, until=until)

    @property
    def key(self) -> RevocationKey:
        """What tells it from others."""
        issuer = _OF_NO_ISSUER if self.kind == "device" else self.subject.issuer
        return RevocationKey(self.kind, issuer, self.id or self.subject.id)

    @property
    def session(self) -> str | None:
        """The session whose grants go with it, `None` for all of the subject."""
        return session_of_sid(self.subject.issuer, self.id) if self.kind == "session" else None

    @property
    def voids_grants(self) -> bool:
        """Whether what the subject has proven goes with it, in `session`.

        Whoever is blocked is refused whatever they have proven, and what was proven with a token that is its own
        session is good beside that token only.
        """
        return self.kind in ("tokens", "session")

    def widened(self, other: Self, *, now: float) -> Self:
        """Both this and the `other` one of the same key, if that is in force at `now`."""
        if other.until <= now:
            return self
        return replace(self, at=max(self.at, other.at), until=max(self.until, other.until))


_Names = Mapping[tuple[str, str], Revocation]
"""By issuer and name."""


class Revocations:
    """All that is revoked, to be asked about identities; never changes."""

    def __init__(self, revocations: Iterable[Revocation] = ()) -> None:
        tables: dict[Kind, dict[tuple[str, str], Revocation]] = {kind: {} for kind in KINDS}
        for revocation in revocations:
            kind, issuer, name = revocation.key
            tables[kind][issuer, name] = revocation
        self._take(tables)

    def _take(self, tables: Mapping[Kind, _Names]) -> None:
        self._tables = tables
        self._blocks, self._tokens = tables["block"], tables["tokens"]
        self._sessions, self._single = tables["session"], tables["token"]
        # Devices are asked about only where a rule wants to know.
        self._is_empty = not (self._blocks or self._tokens or self._sessions or self._single)

    @property
    def counts(self) -> Mapping[Kind, int]:
        """How many there are of each kind; some of them may have ended."""
        return MappingProxyType({kind: len(names) for kind, names in self._tables.items()})

    def changed(self, put: Iterable[Revocation], withdrawn: Iterable[RevocationKey]) -> "Revocations":
        """The same without what is `withdrawn`, and with what is `put` in the place of what has its key."""
        tables: dict[Kind, dict[tuple[str, str], Revocation]] = {}

        def table(kind: Kind) -> dict[tuple[str, str], Revocation]:
            if kind not in tables:
                tables[kind] = dict(self._tables[kind])
            return tables[kind]

        for kind, issuer, name in withdrawn:
            table(kind).pop((issuer, name), None)
        for revocation in put:
            kind, issuer, name = revocation.key
            table(kind)[issuer, name] = revocation
        return self._with({**self._tables, **tables})

    def without_ended(self, now: float) -> "Revocations":
        """The same without what has ended at `now`."""
        return self._with(
            {
                kind: {key: revocation for key, revocation in names.items() if revocation.until > now}
                for kind, names in self._tables.items()
            }
        )

    def _with(self, tables: Mapping[Kind, _Names]) -> "Revocations":
        made = Revocations()
        made._take(tables)
        return made

    def check(self, identity: Identity, *, now: float) -> None:
        """Return if nothing of `identity` is revoked at `now` (seconds since the epoch).

        Raises:
            SubjectBlocked: its user, its workload or an actor is blocked.
            TokenRevoked: one of its tokens is revoked, by itself, with its session, or with all that were issued to
                somebody it is about.
        """
        if self._is_empty:
            return
        blocks = self._blocks
        if blocks:
            workload = identity.workload
            if workload is not None and _holds(blocks.get(("", workload.id)), now):
                raise SubjectBlocked("revocations: the workload is blocked")
            for credential in identity.credentials:
                for place, subject in enumerate(credential.subjects):
                    if _holds(blocks.get((subject.issuer, subject.id)), now):
                        what = "an actor" if place else "the subject"
                        raise SubjectBlocked(f"revocations: {what} of the token is blocked")
        for credential in identity.credentials:
            self._check_token(credential, now)

    def names(self, identity: Identity) -> bool:
        """Whether anything of `identity` is in here, whatever the time is: else `check` never refuses it."""
        if self._is_empty:
            return False
        blocks, tokens, single, workload = self._blocks, self._tokens, self._single, identity.workload
        if workload is not None and ("", workload.id) in blocks:
            return True
        for credential in identity.credentials:
            for subject in credential.subjects:
                key = subject.issuer, subject.id
                if key in blocks or key in tokens:
                    return True
            issuer = credential.subjects[0].issuer
            if credential.sid is not None and (issuer, credential.sid) in self._sessions:
                return True
            if credential.jti is not None and (issuer, credential.jti) in single:
                return True
            if (issuer, DIGEST_PREFIX + credential.digest) in single:
                return True
        return False

    def has_device(self, device: str, subject: Subject, *, proven_at: float, now: float) -> bool:
        """Whether this device of a subject, on which it has proven itself last at `proven_at`, is revoked."""
        if _holds(self._tables["device"].get((_OF_NO_ISSUER, device)), now):
            return True
        revocation = self._tables["devices"].get((subject.issuer, subject.id))
        return _holds(revocation, now) and proven_at <= revocation.at

    def _check_token(self, credential: Credential, now: float) -> None:
        detail = self._revoked_by(credential, now)
        if detail is not None:
            oauth_error: OAuthError | None = "invalid_token" if credential.in_authorization else None
            raise TokenRevoked(f"revocations: {detail}", oauth_error=oauth_error)

    def _revoked_by(self, credential: Credential, now: float) -> str | None:
        issuer = credential.subjects[0].issuer
        if self._tokens:
            for subject in credential.subjects:
                revocation = self._tokens.get((subject.issuer, subject.id))
                # What does not say when it was issued may have been issued at any time.
                if _holds(revocation, now) and (credential.issued_at is None or credential.issued_at <= revocation.at):
                    return "the token was issued before its subject's tokens were revoked"
        if self._sessions and credential.sid is not None and _holds(self._sessions.get((issuer, credential.sid)), now):
            return "the session of the token is revoked"
        if self._single:
            if credential.jti is not None and _holds(self._single.get((issuer, credential.jti)), now):
                return "the token is revoked, by its `jti`"
            if _holds(self._single.get((issuer, DIGEST_PREFIX + credential.digest)), now):
                return "the token is revoked, by its digest"
        return None


def _holds(revocation: Revocation | None, now: float) -> TypeGuard[Revocation]:
    return revocation is not None and revocation.until > now
