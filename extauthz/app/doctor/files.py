"""Checks of files: keys, secrets, certificates, databases, and the disks that they are on."""

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from cryptography import x509

from extauthz.app.doctor.checks import Said, check, ok, problem, warning
from extauthz.app.doctor.deployment import Deployment, apart
from extauthz.app.exposed import named_files, refuse_exposed
from extauthz.app.key_file import read_keys
from extauthz.errors import ConfigurationError, failure_of
from extauthz.store.open import file_of
from extauthz.values.counting import counted
from extauthz.values.instant import instant

_DAY: Final = 86_400.0
_SOON: Final = 30 * _DAY
_NOW: Final = 3 * _DAY
_OLD_KEY: Final = 400 * _DAY
_OLD_DATABASE: Final = 60 * _DAY
_LEAST: Final = 64 * 1024 * 1024
_LITTLE: Final = 1024 * 1024 * 1024
"""Bytes that a disk should have free."""
_LONGEST: Final = 4 * 1024 * 1024
"""Bytes of a file with certificates."""
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"


@check("files", "files that decide: nobody but owners and groups can write them")
async def files(deployment: Deployment) -> Sequence[Said]:
    await apart(lambda: refuse_exposed(deployment.settings, deployment.config))
    return [ok("nobody else can write them")]


@check("secrets", "files with secrets: they are there, and their owner alone can read them")
async def secrets(deployment: Deployment) -> Sequence[Said]:
    def looked() -> list[Said]:
        said = []
        for named in named_files(deployment.settings):
            if not named.secret:
                continue
            try:
                mode = named.path.stat().st_mode
            except OSError as error:
                seen = f"{named.setting}: {named.path}: {failure_of(error)}"
                said.append(problem(seen, "put it there, or mend its name"))
                continue
            if mode & stat.S_IRWXO:
                do = "chmod 600, and make new secrets if somebody may have read them"
                said.append(problem(f"{named.setting}: everybody on this machine can get at {named.path}", do))
            elif mode & stat.S_IRWXG:
                do = "chmod 600, unless the group is there for it"
                said.append(warning(f"{named.setting}: its group can get at {named.path}", do))
        return said

    return await apart(looked) or [ok("only their owners can read them")]


@check("keys", "the key file: it can be used, a key makes, none waits for long, and they are changed at times")
async def keys(deployment: Deployment) -> Sequence[Said]:
    path = deployment.settings.keys_path
    ring = await apart(lambda: read_keys(path))
    now, making = deployment.now(), ring.newest
    said = [ok(f"{counted(len(ring.keys), 'key')}; `{making.kid}` makes since {instant(making.makes_from)}")]
    if making.created < now - _OLD_KEY:
        seen = f"{path}: the key that makes is of {instant(making.created)}"
        said = [warning(seen, "`extauthz keys rotate` adds one")]
    waiting = [one for one in ring.keys if one.makes_from > now + _DAY]
    said += [
        warning(f"{path}: the key `{one.kid}` makes only from {instant(one.makes_from)}", "is that what you meant?")
        for one in waiting
    ]
    return said


def lifetime(whose: str, until: float, now: float) -> Iterator[Said]:
    """What to say of a certificate that is good until then; nothing if that is long enough."""
    if until <= now:
        yield problem(f"{whose}: ended at {instant(int(until))}", "renew it")
    elif until < now + _SOON:
        tell = problem if until < now + _NOW else warning
        days = int((until - now) / _DAY)
        yield tell(f"{whose}: ends at {instant(int(until))}, in {counted(days, 'day')}", "renew it")


@check("certificates", "certificates and authorities that are configured: they can be read, and none ends soon")
async def certificates(deployment: Deployment) -> Sequence[Said]:
    def looked() -> tuple[int, list[Said]]:
        said: list[Said] = []
        number = 0
        for named in named_files(deployment.settings):
            for one in () if named.secret else _certificates(named.path):
                number += 1
                until = one.not_valid_after_utc.timestamp()
                said += lifetime(f"{named.setting}: {named.path}", until, deployment.now())
        return number, said

    number, said = await apart(looked)
    return said or ([ok(f"{counted(number, 'certificate')}, of which none ends soon")] if number else [])


def _certificates(path: Path) -> Sequence[x509.Certificate]:
    """Those in a file; none if it has none. Raises `ConfigurationError` for one that can't be read."""
    if not path.is_file() or path.stat().st_size > _LONGEST:
        return ()
    try:
        content = path.read_bytes()
        return x509.load_pem_x509_certificates(content) if _BEGIN in content else ()
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be read: {failure_of(error)}; let its user read it") from error
    except ValueError:
        raise ConfigurationError(f"{path}: holds a certificate that can't be read; write it in PEM anew") from None


@check("addresses", "databases of addresses: they can be read, and are not too old")
async def addresses(deployment: Deployment) -> Sequence[Said]:
    paths = deployment.settings.geo_paths
    if not paths:
        return []

    def looked() -> list[Said]:
        from extauthz.lookup.geo import open_databases

        now = deployment.now()
        built = open_databases(paths).builds
        return [
            warning(f"{paths[kind]}: is of {instant(when)}", "fetch a newer one; addresses change hands")
            for kind, when in built.items()
            if when < now - _OLD_DATABASE
        ]

    return await apart(looked) or [ok(f"{counted(len(paths), 'database')}, none too old")]


@check("disks", "free space where the store, the audit and the key file are")
async def disks(deployment: Deployment) -> Sequence[Said]:
    settings = deployment.settings
    store = file_of(settings.store, base=settings.base)
    audit = None if settings.audit is None else settings.base / settings.audit.path
    written = [one for one in (store, audit, settings.keys_path) if one is not None]

    def looked() -> list[Said]:
        said = []
        for folder in dict.fromkeys(one.parent for one in written):
            try:
                free, inodes = shutil.disk_usage(folder).free, os.statvfs(folder)
            except OSError as error:
                said.append(problem(f"{folder}: {failure_of(error)}", "make it, or mend the configuration"))
                continue
            if free < _LITTLE or (inodes.f_files > 0 and inodes.f_favail < 1000):
                tell = problem if free < _LEAST else warning
                seen = f"{folder}: only {free // 1_000_000} MB and {inodes.f_favail} files are free"
                said.append(tell(seen, "make room"))
        return said

    return await apart(looked) or [ok("there is room")]
