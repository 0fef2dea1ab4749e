"""Ends of audit chains in a Redis: of each writer `audit`, its number and the rest of it."""

import json

from extauthz.store.audit_heads import AuditHead
from extauthz.store.redis_calls import RedisCalls
from extauthz.store.redis_route import Command
from extauthz.store.redis_rows import seconds_kept, understood
from extauthz.store.redis_scripts import PUT_AUDIT_HEAD, Run
from extauthz.store.redis_server import Reply


class RedisAuditHeads:
    """The ends behind these calls, under keys with this prefix."""

    def __init__(self, calls: RedisCalls, prefix: str) -> None:
        self._calls = calls
        self._prefix = prefix

    async def put(self, head: AuditHead, now: float) -> None:
        """As `Store.put_audit_head`."""
        text = json.dumps([head.writer, head.hash, head.at, head.until, head.file], separators=(",", ":"))
        key = f"{self._prefix}:{{{head.writer}}}:audit"
        arguments = (head.seq, text, seconds_kept(head.until, now))
        await self._calls.run(Run(script=PUT_AUDIT_HEAD, keys=(key,), arguments=arguments))

    async def listed(self, now: float) -> tuple[AuditHead, ...]:
        """As `Store.audit_heads`."""
        found: dict[str, AuditHead] = {}
        async for names in self._calls.all_keys("audit"):
            if names:
                replies = await self._calls.exchange(*(Command(key=key, words=("GET", key)) for key in names))
                heads = (_head_in(reply) for reply in replies if reply is not None)
                found |= {head.writer: head for head in heads if head.until > now}
        return tuple(sorted(found.values(), key=lambda head: (head.at, head.writer)))


@understood()
def _head_in(reply: Reply) -> AuditHead:
    if not isinstance(reply, bytes):
        raise TypeError("not a text")
    seq, _, text = reply.partition(b" ")
    writer, hash_, at, until, file = json.loads(text)
    return AuditHead(
        writer=str(writer), seq=int(seq), hash=str(hash_), at=float(at), until=float(until), file=str(file)
    )
