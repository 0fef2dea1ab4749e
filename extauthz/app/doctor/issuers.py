"""Checks of those whom the server asks or tells: issuers of tokens, and the collector of traces and metrics."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from extauthz.app.doctor.checks import Said, check, ok, problem
from extauthz.app.doctor.clocks import compared
from extauthz.app.doctor.deployment import PATIENCE, Deployment, apart
from extauthz.errors import ExtauthzError, failure_of
from extauthz.files import open_file
from extauthz.identity.key_config import DiscoveredKeys, KeyAddress, KeyFile, KeySource, WorkloadApi
from extauthz.lookup.key_fetching import KeyFetcher
from extauthz.lookup.peers import OutOfReach, Peer
from extauthz.record.otlp_settings import read_otlp

_SIGNALS: Final = ("TRACES", "METRICS")


def _sources(deployment: Deployment) -> Sequence[KeySource]:
    tokens = deployment.settings.approvals.tokens
    return (*deployment.settings.identity.keys, *(() if tokens is None else (tokens.keys,)))


@check(
    "issuer-keys",
    "the keys of every issuer, from this machine: published, of its issuer, and of algorithms that are accepted",
)
async def issuer_keys(deployment: Deployment) -> Sequence[Said]:
    return [said for source in _sources(deployment) if (said := await _keys_of(deployment, source)) is not None]


async def _keys_of(deployment: Deployment, source: KeySource) -> Said | None:
    base, place = deployment.settings.base, source.place
    try:
        match place:
            case WorkloadApi():
                return None  # `server-keys` tells of it: it speaks to the server's own user
            case KeyFile(path=path):
                document = await apart(lambda: _document(base / path))
            case KeyAddress() | DiscoveredKeys():
                fetcher = KeyFetcher(place, base=base, timeout=PATIENCE)
                try:
                    document = (await fetcher.fetch(None, anew=False)).document
                finally:
                    await fetcher.close()
        source.read(document)
    except OSError as error:
        return problem(f"`{source.name}`: {base / path}: {failure_of(error)}", "put the file there, or mend `jwks`")
    except UnicodeDecodeError:
        return problem(f"`{source.name}`: {base / path}: not UTF-8 text", "write the JWK Set anew")
    except OutOfReach as error:
        return problem(f"`{source.name}`: {error}", "mend the way to it; tokens with new keys will be refused")
    except ExtauthzError as error:
        return problem(f"`{source.name}`: {error}", "mend it at the issuer, or `algorithms` and `jwks` here")
    return ok(f"`{source.name}` publishes keys that can be used")


def _document(path: Path) -> str:
    with open_file(path) as stream:
        return stream.read().decode("utf-8")


@check("clock-issuers", "the clocks of issuers whose keys are fetched, against that of this machine")
async def clock_issuers(deployment: Deployment) -> Sequence[Said]:
    said: list[Said] = []
    asked = set()
    for source in _sources(deployment):
        match source.place:
            case KeyAddress(url=url, ca=ca):
                pass
            case DiscoveredKeys(metadata_url=url, ca=ca):
                pass
            case _:
                continue
        host = urlsplit(url).netloc.rpartition("@")[2]
        if host in asked:
            continue
        asked.add(host)
        peer = Peer(ca=None if ca is None else deployment.settings.base / ca, timeout=PATIENCE)
        with contextlib.suppress(OutOfReach):  # `issuer-keys` tells it
            began = deployment.now()
            reply = await peer.ask("GET", url, headers={}, limit=1024 * 1024)
            said += compared(host, reply.headers.get("date"), (began, deployment.now()))
        await peer.close()
    return said


@check("collector", "whether somebody listens at the addresses that the OTEL_ variables name")
async def collector(deployment: Deployment) -> Sequence[Said]:
    found: dict[tuple[str, int], str] = {}
    for signal in _SIGNALS:
        if _is_told(deployment.environ, signal):
            endpoint = read_otlp(deployment.environ, signal).endpoint
            parts = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
            if parts.hostname is not None and parts.scheme not in ("unix", "unix-abstract"):
                port = parts.port or (443 if parts.scheme == "https" else 80)
                found[parts.hostname, port] = f"{parts.hostname}:{port}"
    said = []
    for (host, port), shown in found.items():
        try:
            async with asyncio.timeout(PATIENCE):
                _, writer = await asyncio.open_connection(host, port)
            writer.close()
        except (OSError, TimeoutError):
            do = "start it, or mend OTEL_EXPORTER_OTLP_ENDPOINT; decisions do not wait for it"
            said.append(problem(f"nobody listens at {shown}", do))
        else:
            said.append(ok(f"somebody listens at {shown}"))
    return said


def _is_told(environ: Mapping[str, str], signal: str) -> bool:
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return any(environ.get(name) for name in names)
