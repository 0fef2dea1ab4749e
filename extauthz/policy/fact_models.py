"""`facts` of a case, or of who explains a request: what stands in for look-ups (design section 7).

What a case may say of them; `case_facts` and `case_grants` make facts of it.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from extauthz.policy.field_types import Block, Duration, Instant, Key, Name, Uses
from extauthz.policy.named_models import AddressList
from extauthz.policy.problems import PolicyErrors, Problem, problems_of
from extauthz.policy.yaml_source import load_documents
from extauthz.values.decisions import Factor


class VoteModel(Block):
    """Somebody who has approved."""

    sub: str
    """The approver's `sub` at the approvers' issuer."""
    person: str | None = None
    """Who the approver is as a person, at all issuers. The `sub` by default."""
    groups: list[str] = Field(default_factory=list)
    """The approver's groups at that time."""
    claims: dict[str, Any] = Field(default_factory=dict)
    """Claims of the approver, for `approvers.when`."""
    after: Duration = 1.0
    """How long the approval had been pending then, for `escalate`."""
    factor: Factor | None = None
    """The factor that the approver has proven for it, then. None without it."""


class GlassModel(Block):
    """That the caller has broken the glass."""

    factor: Factor
    """The factor that the caller has proven for it, then."""


class GrantModel(Block):
    """A proof or an approval that was given for a rule and this very request: one of `factor`, `approved_by` and
    `break_glass`."""

    rule: str
    """The rule that it was given for, as `policy/rule`."""
    factor: Factor | None = None
    """A proof by this factor, which meets a challenge of the rule."""
    approved_by: Annotated[list[VoteModel], Field(min_length=1)] | None = None
    """An approval by these, which meets an approve of the rule if enough of them count."""
    break_glass: GlassModel | None = None
    """That the caller has gone through an approve of the rule without an approval."""
    age: Duration = 1.0
    """How long ago it was given."""
    uses: Uses = 1
    """How many uses of an approval are left."""

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if [self.factor, self.approved_by, self.break_glass].count(None) != 2:
            raise ValueError("a grant is one thing; write `factor`, `approved_by` or `break_glass`")
        return self


class DeviceModel(Block):
    """What is known of the device of the request. Without it that is not known, and all else is absent."""

    id: str | None = None
    """`device.id`: which device it is."""
    known: bool = False
    """`device.known`: whether the subject has proven itself there before."""
    age: Duration | None = None
    """`device.age`: how long it has been known for the subject."""


class GeoModel(Block):
    """Where the client's address is; what is not named is absent."""

    country: str | None = None
    """`geo.country`, a code of ISO 3166: `CH`."""
    continent: str | None = None
    """`geo.continent`: `AF`, `AN`, `AS`, `EU`, `NA`, `OC` or `SA`."""
    city: str | None = None
    """`geo.city`, its English name."""
    asn: int | None = None
    """`geo.asn`, the number of the autonomous system."""
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    """`geo.latitude`, in degrees north."""
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    """`geo.longitude`, in degrees east."""
    accuracy_km: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """`geo.accuracy_km`: within so many kilometres of there the client is likely to be."""
    anonymous: bool | None = None
    """`geo.anonymous`: whether the address hides who calls."""


class SessionModel(Block):
    """What the store has seen of the user's session."""

    idle: Duration
    """How long ago it was last active."""
    age: Duration | None = None
    """How long ago it began. As long as it is idle without it."""

    @model_validator(mode="after")
    def _began_before(self) -> Self:
        if self.age is not None and self.age < self.idle:
            raise ValueError("a session can't be idle for longer than it is old; let `age` be `idle` or more")
        return self


class RateModel(Block):
    """How often a key came in a window: what `rate(key, window)` comes to."""

    key: Key
    """The key, the first argument of `rate`."""
    window: Duration | None = None
    """The window, the second argument of `rate`. Any without it."""
    count: Annotated[int, Field(ge=1)]
    """How many requests there were, this one included."""


class BaselineModel(Block):
    """What is usual of a number: what `baseline("variable", key)` comes to, whatever the key."""

    count: Annotated[int, Field(ge=0)]
    """How many numbers there were."""
    p50: float | None = None
    """The number that half of them did not exceed. Absent without it."""
    p90: float | None = None
    """The number that 90 of 100 did not exceed. Absent without it."""
    p95: float | None = None
    """The number that 95 of 100 did not exceed. Absent without it."""
    p99: float | None = None
    """The number that 99 of 100 did not exceed. Absent without it."""


class PlaceModel(Block):
    """Where the subject's last request came from that was allowed, for `travel`."""

    latitude: Annotated[float, Field(ge=-90, le=90)]
    """Degrees north."""
    longitude: Annotated[float, Field(ge=-180, le=180)]
    """Degrees east."""
    accuracy_km: Annotated[float, Field(ge=0)] = 0.0
    """Within so many kilometres of there the client was likely to be."""
    ago: Duration
    """How long before this request it was."""


class ReportedModel(Block):
    """What others have said of the subject and of the device; what is not named is absent."""

    risk_level: Literal["LOW", "MEDIUM", "HIGH"] | None = None
    """`reported.risk_level`: how much at risk the caller is."""
    risk_reason: str | None = None
    """`reported.risk_reason`: why, in words."""
    risk_at: Instant | None = None
    """`reported.risk_at`: since when."""
    compliance: Literal["compliant", "not-compliant"] | None = None
    """`reported.compliance`: whether a device of the caller is in order, where nobody said which one."""
    compliance_at: Instant | None = None
    """`reported.compliance_at`: since when."""
    assurance: Literal["increased", "unknown", "decreased"] | None = None
    """`reported.assurance`: whether it has become surer, or less sure, who the caller is."""
    assurance_at: Instant | None = None
    """`reported.assurance_at`: since when."""
    credential_change: Literal["create", "update", "delete", "revoke"] | None = None
    """`reported.credential_change`: what has become of a credential of the caller."""
    credential_change_at: Instant | None = None
    """`reported.credential_change_at`: since when."""
    compromised_at: Instant | None = None
    """`reported.compromised_at`: when a credential of the caller was compromised."""
    device_risk_level: Literal["LOW", "MEDIUM", "HIGH"] | None = None
    """`reported.device_risk_level`: how much at risk the device is."""
    device_risk_reason: str | None = None
    """`reported.device_risk_reason`: why, in words."""
    device_risk_at: Instant | None = None
    """`reported.device_risk_at`: since when."""
    device_compliance: Literal["compliant", "not-compliant"] | None = None
    """`reported.device_compliance`: whether the device is in order."""
    device_compliance_at: Instant | None = None
    """`reported.device_compliance_at`: since when."""


class FactsModel(Block):
    """What look-ups would have found. What is not named is what there is before anything has happened, but for
    `sources`."""

    grants: list[GrantModel] = Field(default_factory=list)
    """Proofs and approvals that the caller has. None by default."""
    device: DeviceModel = DeviceModel()
    """What `device` holds."""
    geo: GeoModel = GeoModel()
    """What `geo` holds: where the client's address is."""
    session: SessionModel | None = None
    """What `session` rests on. Without it the store has never seen the session: it is as old and idle as the user's
    token says."""
    attributes: dict[str, str] | None = None
    """What `workload.attributes` holds: what the platform knows of the workload. Absent without it."""
    rates: list[RateModel] = Field(default_factory=list)
    """What `rate` comes to. Of what is not listed this request is the first, so that it is 1."""
    seen: list[Key] = Field(default_factory=list)
    """The keys for which `seen` is true."""
    baselines: dict[Key, BaselineModel] = Field(default_factory=dict)
    """What `baseline` comes to, by the name of the variable. Without a number for one that is not named."""
    last_place: PlaceModel | None = None
    """Where the subject was last, for `travel`. Nowhere without it."""
    raised: dict[Key, Duration] = Field(default_factory=dict)
    """How long ago signals of risk models were raised last, by name, for those that fade without `since`. Never, for
    one that is not named."""
    reported: ReportedModel = ReportedModel()
    """What `reported` holds: what others have said of the caller and of the device."""
    sources: dict[Key, dict[str, Any]] = Field(default_factory=dict)
    """What `attributes` holds, by the name of the source. One that is not named could not be asked: reading it is an
    error."""
    addresses: dict[Name, AddressList] = Field(default_factory=dict)
    """Lists for `listed` that the configuration would name. Asking for one that is nowhere is an error."""


def read_facts(text: str, file: str) -> FactsModel:
    """The facts of a YAML text, as `facts` of a case has them. Raises `PolicyErrors` with every problem."""
    documents = load_documents(text, file)
    if len(documents) != 1:
        message = "must be one mapping, as `facts` of a case is"
        raise PolicyErrors([Problem(file=file, message=message, hint="write `device: {known: true}`")])
    (document,) = documents
    try:
        return FactsModel.model_validate(document.value)
    except ValidationError as error:
        raise PolicyErrors(problems_of(error, FactsModel, document)) from None
