import datetime

from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ApprovalStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    APPROVAL_STATUS_UNSPECIFIED: _ClassVar[ApprovalStatus]
    PENDING: _ClassVar[ApprovalStatus]
    APPROVED: _ClassVar[ApprovalStatus]
    DENIED: _ClassVar[ApprovalStatus]
    EXPIRED: _ClassVar[ApprovalStatus]
    CANCELLED: _ClassVar[ApprovalStatus]

class ReviewVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REVIEW_VERDICT_UNSPECIFIED: _ClassVar[ReviewVerdict]
    JUSTIFIED: _ClassVar[ReviewVerdict]
    UNJUSTIFIED: _ClassVar[ReviewVerdict]

class Stance(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STANCE_UNSPECIFIED: _ClassVar[Stance]
    APPROVE: _ClassVar[Stance]
    DENY: _ClassVar[Stance]
APPROVAL_STATUS_UNSPECIFIED: ApprovalStatus
PENDING: ApprovalStatus
APPROVED: ApprovalStatus
DENIED: ApprovalStatus
EXPIRED: ApprovalStatus
CANCELLED: ApprovalStatus
REVIEW_VERDICT_UNSPECIFIED: ReviewVerdict
JUSTIFIED: ReviewVerdict
UNJUSTIFIED: ReviewVerdict
STANCE_UNSPECIFIED: Stance
APPROVE: Stance
DENY: Stance

class ApprovalFilter(_message.Message):
    __slots__ = ("status", "rule", "subject", "issuer", "mine", "unreviewed")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    MINE_FIELD_NUMBER: _ClassVar[int]
    UNREVIEWED_FIELD_NUMBER: _ClassVar[int]
    status: _containers.RepeatedScalarFieldContainer[ApprovalStatus]
    rule: str
    subject: str
    issuer: str
    mine: bool
    unreviewed: bool
    def __init__(self, status: _Optional[_Iterable[_Union[ApprovalStatus, str]]] = ..., rule: _Optional[str] = ..., subject: _Optional[str] = ..., issuer: _Optional[str] = ..., mine: _Optional[bool] = ..., unreviewed: _Optional[bool] = ...) -> None: ...

class ListApprovalsRequest(_message.Message):
    __slots__ = ("filter", "page_size", "page_token")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: ApprovalFilter
    page_size: int
    page_token: str
    def __init__(self, filter: _Optional[_Union[ApprovalFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListApprovalsResponse(_message.Message):
    __slots__ = ("approvals", "next_page_token")
    APPROVALS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    approvals: _containers.RepeatedCompositeFieldContainer[Approval]
    next_page_token: str
    def __init__(self, approvals: _Optional[_Iterable[_Union[Approval, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetApprovalRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class VoteRequest(_message.Message):
    __slots__ = ("id", "reason", "code")
    ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    id: str
    reason: str
    code: str
    def __init__(self, id: _Optional[str] = ..., reason: _Optional[str] = ..., code: _Optional[str] = ...) -> None: ...

class CancelApprovalRequest(_message.Message):
    __slots__ = ("id", "reason")
    ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    id: str
    reason: str
    def __init__(self, id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RevokeApprovalRequest(_message.Message):
    __slots__ = ("id", "reason")
    ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    id: str
    reason: str
    def __init__(self, id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ReviewApprovalRequest(_message.Message):
    __slots__ = ("id", "verdict", "reason", "code")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    id: str
    verdict: ReviewVerdict
    reason: str
    code: str
    def __init__(self, id: _Optional[str] = ..., verdict: _Optional[_Union[ReviewVerdict, str]] = ..., reason: _Optional[str] = ..., code: _Optional[str] = ...) -> None: ...

class WatchApprovalsRequest(_message.Message):
    __slots__ = ("filter",)
    FILTER_FIELD_NUMBER: _ClassVar[int]
    filter: ApprovalFilter
    def __init__(self, filter: _Optional[_Union[ApprovalFilter, _Mapping]] = ...) -> None: ...

class Approval(_message.Message):
    __slots__ = ("id", "status", "rule", "description", "why", "subject", "action", "resource", "context", "requesters", "opened_at", "expires_at", "status_at", "votes", "escalated", "break_glass", "cancelled", "revoked", "cooldown_until", "bind", "counted", "needed", "viewer")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    REQUESTERS_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    STATUS_AT_FIELD_NUMBER: _ClassVar[int]
    VOTES_FIELD_NUMBER: _ClassVar[int]
    ESCALATED_FIELD_NUMBER: _ClassVar[int]
    BREAK_GLASS_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    COOLDOWN_UNTIL_FIELD_NUMBER: _ClassVar[int]
    BIND_FIELD_NUMBER: _ClassVar[int]
    COUNTED_FIELD_NUMBER: _ClassVar[int]
    NEEDED_FIELD_NUMBER: _ClassVar[int]
    VIEWER_FIELD_NUMBER: _ClassVar[int]
    id: str
    status: ApprovalStatus
    rule: str
    description: str
    why: str
    subject: Entity
    action: Action
    resource: Entity
    context: _struct_pb2.Struct
    requesters: _containers.RepeatedScalarFieldContainer[str]
    opened_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    status_at: _timestamp_pb2.Timestamp
    votes: _containers.RepeatedCompositeFieldContainer[Vote]
    escalated: int
    break_glass: BreakGlass
    cancelled: Ending
    revoked: Ending
    cooldown_until: _timestamp_pb2.Timestamp
    bind: str
    counted: Count
    needed: Need
    viewer: Viewer
    def __init__(self, id: _Optional[str] = ..., status: _Optional[_Union[ApprovalStatus, str]] = ..., rule: _Optional[str] = ..., description: _Optional[str] = ..., why: _Optional[str] = ..., subject: _Optional[_Union[Entity, _Mapping]] = ..., action: _Optional[_Union[Action, _Mapping]] = ..., resource: _Optional[_Union[Entity, _Mapping]] = ..., context: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., requesters: _Optional[_Iterable[str]] = ..., opened_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., status_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., votes: _Optional[_Iterable[_Union[Vote, _Mapping]]] = ..., escalated: _Optional[int] = ..., break_glass: _Optional[_Union[BreakGlass, _Mapping]] = ..., cancelled: _Optional[_Union[Ending, _Mapping]] = ..., revoked: _Optional[_Union[Ending, _Mapping]] = ..., cooldown_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., bind: _Optional[str] = ..., counted: _Optional[_Union[Count, _Mapping]] = ..., needed: _Optional[_Union[Need, _Mapping]] = ..., viewer: _Optional[_Union[Viewer, _Mapping]] = ...) -> None: ...

class Count(_message.Message):
    __slots__ = ("approve", "deny")
    APPROVE_FIELD_NUMBER: _ClassVar[int]
    DENY_FIELD_NUMBER: _ClassVar[int]
    approve: int
    deny: int
    def __init__(self, approve: _Optional[int] = ..., deny: _Optional[int] = ...) -> None: ...

class Need(_message.Message):
    __slots__ = ("approve", "deny", "reason", "factors", "max_age")
    APPROVE_FIELD_NUMBER: _ClassVar[int]
    DENY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FACTORS_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_FIELD_NUMBER: _ClassVar[int]
    approve: int
    deny: int
    reason: bool
    factors: _containers.RepeatedScalarFieldContainer[str]
    max_age: float
    def __init__(self, approve: _Optional[int] = ..., deny: _Optional[int] = ..., reason: _Optional[bool] = ..., factors: _Optional[_Iterable[str]] = ..., max_age: _Optional[float] = ...) -> None: ...

class Viewer(_message.Message):
    __slots__ = ("asks", "against", "in_place_of", "may_cancel", "may_review", "may_revoke")
    ASKS_FIELD_NUMBER: _ClassVar[int]
    AGAINST_FIELD_NUMBER: _ClassVar[int]
    IN_PLACE_OF_FIELD_NUMBER: _ClassVar[int]
    MAY_CANCEL_FIELD_NUMBER: _ClassVar[int]
    MAY_REVIEW_FIELD_NUMBER: _ClassVar[int]
    MAY_REVOKE_FIELD_NUMBER: _ClassVar[int]
    asks: bool
    against: str
    in_place_of: str
    may_cancel: bool
    may_review: bool
    may_revoke: bool
    def __init__(self, asks: _Optional[bool] = ..., against: _Optional[str] = ..., in_place_of: _Optional[str] = ..., may_cancel: _Optional[bool] = ..., may_review: _Optional[bool] = ..., may_revoke: _Optional[bool] = ...) -> None: ...

class Entity(_message.Message):
    __slots__ = ("type", "id", "properties")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    type: str
    id: str
    properties: _struct_pb2.Struct
    def __init__(self, type: _Optional[str] = ..., id: _Optional[str] = ..., properties: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class Action(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class Vote(_message.Message):
    __slots__ = ("person", "stance", "reason", "at", "channel", "factor", "in_place_of", "name")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    STANCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    FACTOR_FIELD_NUMBER: _ClassVar[int]
    IN_PLACE_OF_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    person: str
    stance: Stance
    reason: str
    at: _timestamp_pb2.Timestamp
    channel: str
    factor: str
    in_place_of: str
    name: str
    def __init__(self, person: _Optional[str] = ..., stance: _Optional[_Union[Stance, str]] = ..., reason: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., channel: _Optional[str] = ..., factor: _Optional[str] = ..., in_place_of: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class BreakGlass(_message.Message):
    __slots__ = ("person", "reason", "factor", "at", "review")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FACTOR_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    REVIEW_FIELD_NUMBER: _ClassVar[int]
    person: str
    reason: str
    factor: str
    at: _timestamp_pb2.Timestamp
    review: Review
    def __init__(self, person: _Optional[str] = ..., reason: _Optional[str] = ..., factor: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., review: _Optional[_Union[Review, _Mapping]] = ...) -> None: ...

class Review(_message.Message):
    __slots__ = ("person", "verdict", "reason", "at")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    person: str
    verdict: ReviewVerdict
    reason: str
    at: _timestamp_pb2.Timestamp
    def __init__(self, person: _Optional[str] = ..., verdict: _Optional[_Union[ReviewVerdict, str]] = ..., reason: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Ending(_message.Message):
    __slots__ = ("person", "reason", "at")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    person: str
    reason: str
    at: _timestamp_pb2.Timestamp
    def __init__(self, person: _Optional[str] = ..., reason: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
