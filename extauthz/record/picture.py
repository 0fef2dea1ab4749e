"""What approvers see of a request: enough to answer, and nothing that they could use in its place.

The rules kept here: what the audit masks is masked, by the same names. What the rule itself shows is shown as it says.
Every text can be written down, whatever a claim had in it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from extauthz.policy.fact_views import geo_of
from extauthz.record.masking import Keep, query_of
from extauthz.values.approvals import Picture, Signals
from extauthz.values.decisions import ApprovalDemand, Evaluation
from extauthz.values.grants import Facts
from extauthz.values.identity import Identity, User
from extauthz.values.origin import Origin
from extauthz.values.request import RequestView
from extauthz.values.well_formed import well_formed


def picture_of(
    demand: ApprovalDemand,
    *,
    request: RequestView,
    identity: Identity,
    facts: Facts,
    evaluation: Evaluation,
    revision: str,
    origin: Origin,
    keep: Keep,
) -> Picture:
    """The picture of a request that is decided to need this approval.

    `facts` and `evaluation` are those of the decision, which is the `origin`; `keep` is what the audit keeps in the
    clear.
    """
    http, user, workload = request.http, identity.user, identity.workload
    query, unnamed, error = ({}, 0, None) if http is None else query_of(http, keep)
    masked = [name for name, values in sorted(query.items()) if isinstance(values, int)]
    if unnamed or error is not None:
        masked.append("…")  # names that are no words, or a query that can't be read
    picture = Picture(
        user="" if user is None else user.sub,
        issuer="" if user is None else user.iss,
        claims={} if user is None else {name: one for name, one in user.claims.items() if name in keep.claims},
        actors=tuple(_actors(user)),
        workload="" if workload is None else workload.id,
        method="" if http is None else http.method,
        scheme="" if http is None else http.scheme,
        host="" if http is None else http.host,
        authority="" if http is None else http.authority,
        path="" if http is None else http.path,
        query={name: tuple(values) for name, values in sorted(query.items()) if not isinstance(values, int)},
        masked=tuple(masked),
        body_bytes=None if http is None or http.body is None else len(http.body),
        show=dict(demand.show),
        description=demand.description,
        why=demand.why,
        risk=tuple(
            Signals(model=one.model, score=one.score, level=one.level, signals=one.signals) for one in evaluation.risk
        ),
        client_ip=identity.client_ip,
        place=dict(geo_of(facts, identity.client_ip) or {}),
        revision=revision,
        decision_id=origin.decision_id,
        span=origin.span,
    )
    return msgspec.json.decode(well_formed(picture), type=Picture)


def _actors(user: User | None) -> Iterator[str]:
    """Who acts for the user, the current one first (RFC 8693 section 4.1)."""
    link: Mapping[str, Any] | None = None if user is None else user.actor
    while link is not None:
        yield link["sub"]
        link = link.get("act")
