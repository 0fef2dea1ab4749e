"""Checks that can't be answered at once: what is known of each, and what it waits for.

The rule kept here: they are values. Asking anybody is for whoever finishes them.
"""

import msgspec

from extauthz.check.case import Case
from extauthz.identity.lookups import Awaiting
from extauthz.policy.candidates import Candidates
from extauthz.values.decisions import Evaluation
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView


class Unidentified(msgspec.Struct, frozen=True):
    """A Check whose caller is not known before `awaiting` is answered."""

    case: Case
    request: RequestView
    awaiting: Awaiting


class OpenCase(msgspec.Struct, frozen=True):
    """A Check that waits for a look-up: who asks, what for, and the rules that may speak to it."""

    case: Case
    request: RequestView
    identity: Identity
    candidates: Candidates


class Unrecorded(msgspec.Struct, frozen=True):
    """A Check that is decided, and whose answer waits until its record is on disk."""

    case: Case
    evaluation: Evaluation


Opened = Unidentified | OpenCase | Unrecorded
"""What `start` hands to `finish`."""
