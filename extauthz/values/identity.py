"""Who calls: the workload, the user, the session and the holder of the request (design section 4)."""

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import msgspec

from extauthz.values.request import empty

HOLDER_COOKIE: Final = "__Host-extauthz-holder"
"""The cookie whose secret a browser holds beside its token."""
NONCE_COOKIE: Final = "__Host-extauthz-nonce"
"""The cookie that ties a challenge ticket to the browser that was sent to the challenge page."""
ENROLMENT_COOKIE: Final = "__Host-extauthz-enrolment"
"""The cookie that seats a browser at the enrolment page."""
DEVICE_COOKIE: Final = "__Host-extauthz-device"
"""The cookie by which a device is known on which somebody has met a challenge."""

APPROVER_COOKIE: Final = "__Host-extauthz-approver"
"""The cookie by which an approver is logged in at the approvers' pages."""


def holder_of_cookie(secret: str) -> str:
    """The holder text of a browser whose holder cookie has the value `secret`: `cookie:<SHA-256 in hex>`."""
    return "cookie:" + sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a proof belongs to: (issuer, `sub`) for people, the SPIFFE ID with an empty issuer for workloads.

    The same `sub` at two issuers is two subjects.
    """

    issuer: str
    id: str

    @property
    def key(self) -> str:
        """The unambiguous text that stores index by."""
        return json.dumps([self.issuer, self.id], separators=(",", ":"))


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """A workload by its SPIFFE ID. `verified_by` names the source, such as `source_principal` or `jwt_svid`.

    `namespace` and `service_account` are set when the path has Istio's form `/ns/<namespace>/sa/<account>`.
    `attributes` are what the platform knows of it, `None` if it knows nothing.
    """

    id: str
    trust_domain: str
    path: str
    namespace: str | None = None
    service_account: str | None = None
    verified_by: str
    attributes: Mapping[str, str] | None = None

    @property
    def subject(self) -> Subject:
        """The subject that this workload's proofs belong to."""
        return Subject("", self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person (or what acts as one) by a verified token.

    `auth_time` and `issued_at` are seconds since the epoch. `sid` is the token's session claim, `token_hash` a SHA-256
    in lower-case hex that the token is known by, whatever signature it carries. `actor` is the `act` claim (RFC 8693
    section 4.1). `verified_by` is the name of the configured source. `cookie` is true when the token came in a cookie.
    `proven_factors` and `proven_acr` are what `amr` and `acr` were configured to mean: second factors of rules, and
    values that rules ask for as `acr`.
    """

    sub: str
    iss: str
    aud: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    claims: Mapping[str, Any] = field(default_factory=empty)
    amr: tuple[str, ...] = ()
    acr: str | None = None
    proven_factors: frozenset[str] = frozenset()
    proven_acr: frozenset[str] = frozenset()
    auth_time: int | None = None
    issued_at: int | None = None
    actor: Mapping[str, Any] | None = None
    verified_by: str = ""
    sid: str | None = None
    token_hash: str = ""
    cookie: bool = False

    @property
    def subject(self) -> Subject:
        """The subject that this user's proofs belong to."""
        return Subject(self.iss, self.sub)


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A token that an identity rests on, by everything that it can be revoked by.

    `subjects` are whom it is about: its user or workload first, then the actors. `issued_at` is in seconds since the
    epoch, `None` if it does not say. `sid` and `jti` are the claims of these names, `digest` is a SHA-256 in lower-case
    hex that the token is known by, whatever signature it carries. `in_authorization`: it is the Authorization header's.
    """

    subjects: tuple[Subject, ...]
    issued_at: float | None = None
    sid: str | None = None
    jti: str | None = None
    digest: str = ""
    in_authorization: bool = False


class Identity(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Everything that was established about the caller; what is `None` or empty was not there.

    `session` is the token's `sid`, else the hash of the session cookie, else that of the token itself. `holders` are
    the things that the caller holds beside the token, each as `kind:digest`; a grant fits if its holder is one of
    them. `client_ip` is the client's address through the configured number of trusted hops. `credentials` are all the
    tokens that name the workload and the user; what a connection proves is none.
    """

    workload: Workload | None = None
    user: User | None = None
    session: str | None = None
    holders: AbstractSet[str] = frozenset()
    client_ip: str = ""
    credentials: tuple[Credential, ...] = ()

    @property
    def subject(self) -> Subject | None:
        """The user if there is one, else the workload, else `None`."""
        if self.user is not None:
            return self.user.subject
        return self.workload.subject if self.workload is not None else None
