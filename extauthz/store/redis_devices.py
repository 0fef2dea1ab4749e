"""Devices in a Redis: under each subject, `devices`, a hash of what is listed by id."""

import json

from extauthz.store.devices import MOST_DEVICES, ListedDevice
from extauthz.store.key_digest import digest
from extauthz.store.redis_calls import RedisCalls
from extauthz.store.redis_route import Command
from extauthz.store.redis_rows import seconds_kept, texts_in, understood
from extauthz.store.redis_scripts import PUT_DEVICE, Run
from extauthz.store.redis_server import Reply
from extauthz.values.identity import Subject


class RedisDevices:
    """The devices behind these calls, under keys with this prefix."""

    def __init__(self, calls: RedisCalls, prefix: str) -> None:
        self._calls = calls
        self._prefix = prefix

    async def put(self, device: ListedDevice, now: float) -> None:
        """As `Store.put_device`."""
        text = json.dumps([[device.subject.issuer, device.subject.id], device.name], separators=(",", ":"))
        times = (repr(device.first_at), repr(device.proven_at), repr(device.until))
        arguments = (repr(now), device.id, *times, text, MOST_DEVICES, seconds_kept(device.until, now))
        await self._calls.run(Run(script=PUT_DEVICE, keys=(self._key(device.subject),), arguments=arguments))

    async def listed(self, subject: Subject | None, now: float) -> tuple[ListedDevice, ...]:
        """As `Store.devices`."""
        found: list[ListedDevice] = []
        if subject is not None:
            found = await self._in([self._key(subject)])
        else:
            async for names in self._calls.all_keys("devices"):
                found += await self._in(names)
        good = {(device.subject, device.id): device for device in found if device.until > now}
        return tuple(sorted(good.values(), key=lambda device: (device.proven_at, device.id)))

    async def _in(self, keys: list[str]) -> list[ListedDevice]:
        if not keys:
            return []
        replies = await self._calls.exchange(*(Command(key=key, words=("HGETALL", key)) for key in keys))
        return [device for reply in replies for device in _devices_in(reply)]

    def _key(self, subject: Subject) -> str:
        return f"{self._prefix}:{{{digest(subject.key)}}}:devices"


@understood()
def _devices_in(reply: Reply) -> list[ListedDevice]:
    words = texts_in(reply)
    found: list[ListedDevice] = []
    for id_, text in zip(words[::2], words[1::2], strict=True):
        first_at, proven_at, until, rest = text.split(b" ", 3)
        (issuer, sub), name = json.loads(rest)
        found.append(
            ListedDevice(
                id=id_.decode("utf-8"),
                subject=Subject(issuer, sub),
                first_at=float(first_at),
                proven_at=float(proven_at),
                until=float(until),
                name=name,
            )
        )
    return found
