"""What stands behind `reported`: what others say of the caller, and of the device of the request.

The rule kept here: what nobody has said is unset. Nothing is derived from it: a low risk that was reported is no proof
of anything.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from extauthz import cel
from extauthz.policy.views import timestamp_parts
from extauthz.values.grants import Facts
from extauthz.values.identity import Identity
from extauthz.values.signals import OutsideSignal, SignalName

_DEVICE: Final = "device_"
_FIELDS: Final[Mapping[SignalName, str]] = {
    "assurance": "assurance",
    "compliance": "compliance",
    "credential": "credential_change",
    "risk": "risk_level",
}
"""The field that holds the level of each name that has several."""
_MOMENTS: Final[Mapping[SignalName, str]] = {
    "assurance": "assurance_at",
    "compliance": "compliance_at",
    "compromise": "compromised_at",
    "credential": "credential_change_at",
    "risk": "risk_at",
}


class ReportedFields:
    """The fields of `reported`: those that were given, or else those of what is known here of `identity` and of the
    device whose fields `device` gives, which is looked for when somebody asks.

    Of most callers nobody has said anything: those fields are found in the class.
    """

    assurance: object = cel.UNSET
    assurance_at: object = cel.UNSET
    compliance: object = cel.UNSET
    compliance_at: object = cel.UNSET
    compromised_at: object = cel.UNSET
    credential_change: object = cel.UNSET
    credential_change_at: object = cel.UNSET
    risk_at: object = cel.UNSET
    risk_level: object = cel.UNSET
    risk_reason: object = cel.UNSET

    def __init__(self, facts: Facts, identity: Identity, device: Callable[[], Mapping[str, Any]], now: float) -> None:
        self._facts = facts
        self._device = device
        self._now = now
        found = _given(facts.reported) if facts.reported else _of_subject(facts, identity, now)
        if found:
            self.__dict__.update(found)

    def __getattr__(self, name: str) -> object:
        fields = self.__dict__
        if "_of_device" not in fields:
            fields["_of_device"] = {} if self._facts.reported else self._look()
        return fields["_of_device"].get(name.removeprefix(_DEVICE), cel.UNSET)

    def _look(self) -> Mapping[str, Any]:
        reports, id_ = self._facts.local.reported, self._device().get("id")
        return {} if reports is None or id_ is None else _fields(reports.of_device(id_, now=self._now))


def _given(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        name: cel.Timestamp(*timestamp_parts(value)) if name.endswith("_at") else value
        for name, value in fields.items()
    }


def _of_subject(facts: Facts, identity: Identity, now: float) -> Mapping[str, Any]:
    reports, subject, user = facts.local.reported, identity.subject, identity.user
    if reports is None or subject is None:
        return {}
    return _fields(reports.of_subject(subject, None if user is None else user.sid, now=now))


def _fields(signals: Iterable[OutsideSignal]) -> Mapping[str, Any]:
    fields: dict[str, Any] = {}
    for signal in signals:
        if signal.name not in _MOMENTS:
            continue  # who is disabled comes no further than his identity
        if signal.name in _FIELDS:
            fields[_FIELDS[signal.name]] = signal.level
        fields[_MOMENTS[signal.name]] = cel.Timestamp(*timestamp_parts(signal.at))
        if signal.name == "risk" and signal.reason:
            fields["risk_reason"] = signal.reason
    return fields
