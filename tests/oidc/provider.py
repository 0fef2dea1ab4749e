"""A certified OpenID provider as the issuer of tokens: `oidc-provider` under Node, in a process of its own.

What it needs is installed beside this file, once, as `package-lock.json` says. Without Node tests are skipped, or fail
where everything is required.
"""

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Never
from urllib.parse import urlencode, urljoin

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from patience import GENEROUS
from ports import free_port

FOLDER = Path(__file__).parent
OLDEST_NODE = 18
CLIENT, CLIENT_SECRET = "agent", "known-to-every-test"
STEP_UP_CLIENT, PUBLIC_CLIENT = "extauthz", "extauthz-public"
"""Clients that people are sent back from; the first has the secret of all tests."""
CALLBACK = "https://app.example.com/.extauthz/oidc"
ACR_VALUES = ("urn:test:silver", "urn:test:gold")
RESOURCE, AUDIENCE = "https://shop.example.com/", "shop"
OPAQUE_RESOURCE = "https://opaque.example.com/"


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource server: the `aud` of its tokens, and what they are."""

    audience: str
    format: Literal["jwt", "opaque"]


@dataclass
class Provider:
    """A provider with one client; `keys` are its private JWKs, of which the first that fits signs.

    `tls` are the files of its certificate and key, without which it speaks HTTP; `callback` is where it sends people
    back to, `people` what it says of them, by `sub`, besides that.
    """

    port: int
    keys: Sequence[Mapping[str, object]]
    resources: dict[str, Resource] = field(
        default_factory=lambda: {
            RESOURCE: Resource(audience=AUDIENCE, format="jwt"),
            OPAQUE_RESOURCE: Resource(audience=AUDIENCE, format="opaque"),
        }
    )
    algorithm: str = "ES256"
    tls: tuple[Path, Path] | None = None
    callback: str = CALLBACK
    people: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    _process: subprocess.Popen[str] | None = None

    @property
    def issuer(self) -> str:
        return f"{'http' if self.tls is None else 'https'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return when it listens."""
        settings = {
            "port": self.port,
            "issuer": self.issuer,
            "tls": None if self.tls is None else {"cert": str(self.tls[0]), "key": str(self.tls[1])},
            "keys": self.keys,
            "algorithm": self.algorithm,
            "clients": [
                {"id": CLIENT, "secret": CLIENT_SECRET, "redirect_uris": []},
                {"id": STEP_UP_CLIENT, "secret": CLIENT_SECRET, "redirect_uris": [self.callback]},
                {"id": PUBLIC_CLIENT, "secret": None, "redirect_uris": [self.callback]},
            ],
            "acr_values": ACR_VALUES,
            "people": self.people,
            "resources": {uri: {"audience": one.audience, "format": one.format} for uri, one in self.resources.items()},
        }
        process = subprocess.Popen(
            ["node", "provider.mjs"],
            cwd=FOLDER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(settings))
        process.stdin.close()
        self._process = process
        said = []
        for line in process.stdout:
            if line.startswith('{"listening"'):
                return
            said.append(line)
        raise AssertionError(f"the provider ended before it listened: {''.join(said)}")

    def stop(self) -> None:
        """Refuse connections; what it issued before is good as long as its keys are."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def restart(self, *keys: Mapping[str, object]) -> None:
        """Go on under the same name with other keys."""
        self.stop()
        self.keys = keys
        self.start()

    def metadata(self) -> dict[str, Any]:
        """What it publishes of itself."""
        url = f"{self.issuer}/.well-known/openid-configuration"
        published: dict[str, Any] = httpx.get(url, timeout=GENEROUS).json()
        return published

    def log_in(self, browser: httpx.Client, location: str, **said: str) -> str:
        """Where a browser that was sent to `location` is sent back to, after a login that says `said`."""
        for _ in range(6):
            answer = browser.get(location)
            assert answer.status_code in (302, 303), answer.text
            location = urljoin(location, answer.headers["location"])
            if location.startswith(f"{self.issuer}/login/"):
                location += "?" + urlencode(said)
            elif not location.startswith(self.issuer):
                return location
        raise AssertionError(f"the provider leads nowhere: {location}")

    def token(self, resource: str = RESOURCE, *, scope: str = "pay") -> str:
        """An access token by client credentials: a JWT (RFC 9068) or opaque, as the resource has it."""
        answer = httpx.post(
            self.metadata()["token_endpoint"],
            auth=(CLIENT, CLIENT_SECRET),
            data={"grant_type": "client_credentials", "resource": resource, "scope": scope},
            timeout=GENEROUS,
        )
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token


def new_keys(kid: str) -> list[dict[str, object]]:
    """Private keys for all that a provider signs: tokens with ES256, what it says to clients with RS256."""
    elliptic = ec.generate_private_key(ec.SECP256R1())
    plain = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    signing = RSAAlgorithm.to_jwk(plain, as_dict=True)
    del signing["key_ops"]  # it would be published with the public half, of which it is not true
    return [
        {**ECAlgorithm.to_jwk(elliptic, as_dict=True), "kid": kid, "use": "sig", "alg": "ES256"},
        {**signing, "kid": f"{kid}-rsa", "use": "sig", "alg": "RS256"},
    ]


@contextmanager
def providing(
    *keys: Mapping[str, object],
    port: int | None = None,
    tls: tuple[Path, Path] | None = None,
    callback: str = CALLBACK,
    people: Mapping[str, Mapping[str, object]] | None = None,
) -> Iterator[Provider]:
    """A provider that is gone afterwards; on a free port, if none is given."""
    _install()
    provider = Provider(
        port=free_port() if port is None else port, keys=keys, tls=tls, callback=callback, people=people or {}
    )
    try:
        provider.start()
        yield provider
    finally:
        provider.stop()


def _install() -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        _missing("no node or no npm; install them")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < OLDEST_NODE:
        _missing(f"node {version} is too old; install {OLDEST_NODE} or newer")
    wanted = sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
    stamp = FOLDER / "node_modules" / ".installed"
    # Test runs beside this one may want to install, too.
    with (Path(tempfile.gettempdir()) / f"extauthz-oidc-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted:
            return
        ended = subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=FOLDER,
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode != 0:
            _missing(f"npm can't install the OpenID provider: {ended.stderr.strip()}")
        stamp.write_text(wanted)


def _missing(message: str) -> Never:
    if os.environ.get("REQUIRE_ALL"):
        pytest.fail(message)
    pytest.skip(message)
