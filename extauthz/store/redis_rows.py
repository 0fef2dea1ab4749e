"""What a Redis keeps under which key, and the texts of grants and factors.

The rule: all keys of one subject have one hash tag, so what is atomic is on one node of a cluster. Under a subject:

`grants`    hash: `text:ID` and, where uses are counted, `uses:ID`     `ends`    sorted set: when each grant ends
`factors`   hash: `kind: confirmed: mark: name: text:` ID              `seen:…`  a session's times
`used:…`    hash: the grants that a Check has used, and when           `ticket:…`  burned tickets
`reset`     when the factors were last reset                           `marks`   hash: what of the subject is revoked
`approvals` hash: each by ID           `newest`  hash: the newest of each key
`pending`   sorted set: when they expire     `over`    sorted set: when the others are forgotten
`letters`   hash: `state: head: content:` ID

A text of a grant begins with when it was issued and a digest of its session, for scripts. Proofs of possession and
limiters have a tag, so a slot, each; so have writers of the audit, with `audit`, the end of their chain. Letters that
tell of no approval are all under the tag `events`.
"""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, NamedTuple, TypeVar

import msgspec

from extauthz.errors import StateUnavailable
from extauthz.stepup.fingerprint import REPEAT_SECONDS
from extauthz.store.approval_rows import approved_in
from extauthz.store.key_digest import digest
from extauthz.store.protocol import AUTHENTICATORS, CLOCK_SKEW, Consumed, EnrolledFactor, Ground
from extauthz.store.redis_server import Reply
from extauthz.values.grants import Grant, SessionTimes
from extauthz.values.identity import Subject

_Outcome = TypeVar("_Outcome", bound=Enum)

_FACTOR_PARTS: Final = ("kind", "confirmed", "mark", "name", "text")


@contextmanager
def understood() -> Iterator[None]:
    """Where what a Redis said is read: what no version of this program says is as good as no answer.

    Raises:
        StateUnavailable: it can't be read.
    """
    try:
        yield
    except (ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
        fault = type(error).__name__
        raise StateUnavailable(f"store: what the Redis keeps or answers can't be read, by {fault}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectKeys:
    """The keys of one subject."""

    tag: str
    grants: str
    ends: str
    factors: str
    reset: str
    marks: str
    _under: str

    @classmethod
    def of(cls, prefix: str, subject: Subject) -> "SubjectKeys":
        """Those of this subject."""
        return cls.tagged(prefix, digest(subject.key))

    @classmethod
    def tagged(cls, prefix: str, tag: str) -> "SubjectKeys":
        """Those of the subject with this tag."""
        under = f"{prefix}:{{{tag}}}"
        return cls(
            tag=tag,
            grants=f"{under}:grants",
            ends=f"{under}:ends",
            factors=f"{under}:factors",
            reset=f"{under}:reset",
            marks=f"{under}:marks",
            _under=under,
        )

    @property
    def approvals(self) -> str:
        """The approvals, by id."""
        return f"{self._under}:approvals"

    @property
    def letters(self) -> str:
        """The letters that tell of them."""
        return f"{self._under}:letters"

    @property
    def writing(self) -> tuple[str, ...]:
        """What scripts that write an approval take, in their order."""
        lists = (f"{self._under}:{name}" for name in ("newest", "pending", "over"))
        return (self.approvals, *lists, self.letters, self.grants, self.ends, self.marks)

    def seen(self, session: str) -> str:
        """When this session was seen."""
        return f"{self._under}:seen:{digest(session)}"

    def used(self, fingerprint: str) -> str:
        """What this Check has used."""
        return f"{self._under}:used:{digest(fingerprint)}"

    def ticket(self, id_: str) -> str:
        """Whether this ticket is burned."""
        return f"{self._under}:ticket:{digest(id_)}"


def proof_key(prefix: str, proof: str) -> str:
    """Whether this proof of possession was used."""
    return f"{prefix}:{{proof:{digest(proof)}}}"


def tally_key(prefix: str, limit: str) -> str:
    """What was counted in this limiter."""
    return f"{prefix}:{{limit:{digest(limit)}}}"


def seconds_kept(expires_at: float, now: float) -> int:
    """For how long something is kept that ends at `expires_at`, in whole seconds: other clocks may be behind."""
    return max(1, math.ceil(expires_at - now + CLOCK_SKEW))


def grant_words(grant: Grant) -> tuple[str | int, ...]:
    """A grant as the script that leaves it takes it: id, end, uses (empty: any number), text."""
    text = json.dumps(
        [
            [grant.subject.issuer, grant.subject.id],
            grant.session,
            grant.holder,
            grant.binding,
            grant.rule,
            grant.factor,
            grant.issued_at,
            grant.expires_at,
            # An older version of this program reads it, unless it says what that does not know.
            *([] if grant.approval is None else [msgspec.to_builtins(grant.approval)]),
        ],
        separators=(",", ":"),
    )
    named = f"{grant.issued_at!r} {digest(grant.session)} {text}"
    return (grant.id, repr(grant.expires_at), "" if grant.uses is None else grant.uses, named)


@understood()
def grants_in(reply: Reply) -> list[Grant]:
    """The grants in a hash, whether they are good or not, oldest first."""
    fields = _fields(reply)
    found: list[Grant] = []
    for name, text in fields.items():
        if not name.startswith(b"text:"):
            continue
        id_ = name[5:]
        uses = fields.get(b"uses:" + id_)
        rest = text.split(b" ", 2)[2]
        (issuer, sub), session, holder, binding, rule, factor, issued_at, expires_at, *more = json.loads(rest)
        found.append(
            Grant(
                id=id_.decode("utf-8"),
                subject=Subject(issuer, sub),
                session=session,
                holder=holder,
                binding=binding,
                rule=rule,
                factor=factor,
                issued_at=issued_at,
                expires_at=expires_at,
                uses=None if uses is None else int(uses),
                approval=approved_in(more[0]) if more else None,
            )
        )
    return sorted(found, key=lambda grant: (grant.issued_at, grant.id))


@understood()
def used_in(reply: Reply, now: float) -> frozenset[str]:
    """The grants that a Check has used so lately that it may rest on the same uses when it is sent again."""
    return frozenset(
        id_.decode("utf-8") for id_, used_at in _fields(reply).items() if now - float(used_at) <= REPEAT_SECONDS
    )


@understood()
def times_in(reply: Reply, now: float) -> SessionTimes | None:
    """When a session was seen; `None` if that is not known, or it has ended."""
    if reply is None:
        return None
    started_at, last_seen, until = map(float, _bytes(reply).split(b" "))
    return SessionTimes(started_at=started_at, last_seen=last_seen) if until > now else None


def ground_words(ground: Ground | None) -> tuple[str, ...]:
    """What a change of factors rests on, as the scripts that change them take it."""
    counting = f",{','.join(AUTHENTICATORS)},"
    if ground is None:
        return ("none", "", "", counting, "", "")
    laid_at = "" if math.isinf(ground.laid_at) else repr(ground.laid_at)
    since = "" if ground.since == math.inf else repr(max(ground.since, 0.0))
    kind = "factor" if ground.factor else "first"
    return (kind, laid_at, ground.factor, counting, since, f"session:{digest(ground.session)}")


def factor_words(factor: EnrolledFactor) -> tuple[str | int, ...]:
    """A factor as the script that enrolls takes it: id, kind, confirmed, mark, name, text."""
    text = json.dumps(
        [[factor.subject.issuer, factor.subject.id], factor.created_at, factor.sealed, factor.public],
        separators=(",", ":"),
    )
    return (factor.id, factor.kind, int(factor.confirmed), factor.mark, json.dumps(factor.name), text)


@understood()
def factors_in(reply: Reply) -> list[EnrolledFactor]:
    """The factors in a hash."""
    fields = _fields(reply)
    found: list[EnrolledFactor] = []
    for name, kind in fields.items():
        if not name.startswith(b"kind:"):
            continue
        id_ = name[5:]
        confirmed, mark, called, text = (fields[part.encode() + b":" + id_] for part in _FACTOR_PARTS[1:])
        (issuer, sub), created_at, sealed, public = json.loads(text)
        found.append(
            EnrolledFactor(
                id=id_.decode("utf-8"),
                subject=Subject(issuer, sub),
                kind=kind.decode("ascii"),  # type: ignore[arg-type]  # what was written was one
                created_at=created_at,
                confirmed=confirmed == b"1",
                name=json.loads(called),
                sealed=sealed,
                public=public,
                mark=int(mark),
            )
        )
    return found


@understood()
def outcome_in(results: list[Reply], outcomes: type[_Outcome]) -> _Outcome:
    """How it went, by the word that is the one result."""
    (said,) = texts_in(results)
    return outcomes(said.decode("ascii"))


@understood()
@understood()
def consumed_in(reply: Reply) -> Consumed:
    """How using up grants went."""
    done, *used = texts_in(reply)
    return Consumed(done=done == b"1", used=frozenset(id_.decode() for id_ in used))


class TryReply(NamedTuple):
    """What came of a try in a limiter: the seconds to wait, whose tally that is, and for how long it locks."""

    wait: float
    which: Literal["own", "all"]
    locks: float


@understood()
def try_in(reply: Reply) -> TryReply:
    """What came of a try in a limiter."""
    wait, which, locks = texts_in(reply)
    return TryReply(float(wait), "own" if which == b"own" else "all", float(locks))


def _fields(reply: Reply) -> dict[bytes, bytes]:
    if not isinstance(reply, list):
        raise StateUnavailable(f"not a hash, but {type(reply).__name__}")
    words = [_bytes(word) for word in reply]
    return dict(zip(words[::2], words[1::2], strict=True))


def _bytes(reply: Reply) -> bytes:
    if not isinstance(reply, bytes):
        raise StateUnavailable(f"not a text, but {type(reply).__name__}")
    return reply


def texts_in(reply: Reply) -> Sequence[bytes]:
    """The texts of a list."""
    if not isinstance(reply, list):
        raise StateUnavailable(f"not a list, but {type(reply).__name__}")
    return [_bytes(word) for word in reply]
