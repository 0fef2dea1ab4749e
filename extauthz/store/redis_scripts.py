"""The scripts that a Redis runs: each is one atomic step on the keys of one slot.

The rule: they have no clock of their own; what they compare comes with the call.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files

from redis.exceptions import NoScriptError

from extauthz.store.redis_route import Command, Route
from extauthz.store.redis_server import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A script by its text, and by the hash that servers know it by."""

    text: bytes
    sha: str


def _script(*names: str) -> Script:
    """The script of these files, of which each goes on from the one before."""
    text = b"".join(files("extauthz.store").joinpath("lua", f"{name}.lua").read_bytes() for name in names)
    return Script(text=text, sha=sha1(text, usedforsecurity=False).hexdigest())


ATTEMPT = _script("attempt")
CHANGE_LETTER = _script("change_letter")
CHANGED_REVOCATIONS = _script("changed_revocations")
CLAIM_LETTER = _script("claim_letter")
CONFIRM = _script("ground", "confirm")
CONSUME = _script("consume")
COUNT = _script("count")
DUE_LETTERS = _script("due_letters")
ENROLL = _script("ground", "enroll")
GIVE_BACK = _script("give_back")
INDEX_APPROVAL = _script("index_approval")
INDEX_LETTER = _script("index_letter")
KNOW = _script("know")
NOTE_HABITS = _script("note_habits")
OPEN_APPROVAL = _script("grants", "write_approval", "open_approval")
PUT_AUDIT_HEAD = _script("put_audit_head")
PUT_DEVICE = _script("put_device")
PUT_LETTERS = _script("put_letters")
PUT_REVOCATION = _script("widen", "put_revocation")
PUT_SIGNAL = _script("put_signal")
REDEEM = _script("grants", "redeem")
REMOVE = _script("ground", "remove")
RENAME = _script("ground", "rename")
REPLACE_APPROVAL = _script("grants", "write_approval", "replace_approval")
RESET = _script("reset")
REVOKE = _script("revoke")
TOUCH = _script("touch")
UNLIST_APPROVAL = _script("unlist_approval")
USE_PROOF = _script("use_proof")
VOID = _script("widen", "void")
WITHDRAW_REVOCATION = _script("withdraw_revocation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a script, on keys of one slot."""

    script: Script
    keys: tuple[str, ...]
    arguments: tuple[str | bytes | int, ...]

    def command(self, *, whole: bool) -> Command:
        """By hash, or with the whole text for a server that does not know it, which does from then on."""
        how: tuple[str, str | bytes] = ("EVAL", self.script.text) if whole else ("EVALSHA", self.script.sha)
        return Command(key=self.keys[0], words=(*how, len(self.keys), *self.keys, *self.arguments))


async def run_all(route: Route, asked: Sequence[Run | Command]) -> list[Reply]:
    """The results of all this, in its order: one round trip to each server, and one more for scripts it lacks."""
    replies = await route.exchange([one.command(whole=False) if isinstance(one, Run) else one for one in asked])
    lacking = {
        index: one
        for index, (one, reply) in enumerate(zip(asked, replies, strict=True))
        if isinstance(one, Run) and isinstance(reply, NoScriptError)
    }
    if lacking:
        again = await route.exchange([run.command(whole=True) for run in lacking.values()])
        for index, reply in zip(lacking, again, strict=True):
            replies[index] = reply
    return replies
