"""Devices in the memory of one process, by subject. Whoever calls holds the lock of the store."""

from dataclasses import replace

from extauthz.store.devices import MOST_DEVICES, ListedDevice
from extauthz.values.identity import Subject


class MemoryDevices:
    """The devices by subject and id."""

    def __init__(self) -> None:
        self._devices: dict[Subject, dict[str, ListedDevice]] = {}

    def put(self, device: ListedDevice, now: float) -> None:
        """As `Store.put_device`."""
        theirs = {id_: one for id_, one in self._devices.get(device.subject, {}).items() if one.until > now}
        before = theirs.pop(device.id, None)
        if before is not None:
            device = replace(device, first_at=before.first_at)
        others = sorted(theirs.values(), key=lambda one: (one.proven_at, one.id), reverse=True)
        self._devices[device.subject] = {one.id: one for one in (*others[: MOST_DEVICES - 1], device)}

    def listed(self, subject: Subject | None, now: float) -> tuple[ListedDevice, ...]:
        """As `Store.devices`."""
        found = (
            device
            for owner, devices in self._devices.items()
            for device in devices.values()
            if subject in (None, owner) and device.until > now
        )
        return tuple(sorted(found, key=lambda device: (device.proven_at, device.id)))

    def sweep(self, now: float) -> None:
        """Forget what counts no more."""
        self._devices = {
            subject: left
            for subject, devices in self._devices.items()
            if (left := {id_: device for id_, device in devices.items() if device.until > now})
        }
