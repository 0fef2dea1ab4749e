"""The folder of a demo: which file is where, and what is written into it before anything starts.

Rule kept here: the folder is readable by its owner only, because it holds keys, and sockets that ask nobody who they
are.
"""

import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from extauthz.cli.quickstart.certificates import Pair, create_authority, write_private
from extauthz.cli.quickstart.people import PEOPLE, TRUST_DOMAIN, WORKLOADS
from extauthz.cli.quickstart.tokens import AUDIENCE, ISSUER, TokenIssuer
from extauthz.errors import ConfigurationError

# sockaddr_un.sun_path holds 104 bytes on macOS and 108 on Linux, a NUL included.
MAX_SOCKET_PATH = 103

CONFIGURATION = """\
# The configuration of extauthz in this demo. Paths are relative to this file.
listen:
  grpc: {grpc}
  web: {web}
  admin: {probes}
policies: [policies/]
store: sqlite:///extauthz.db
keys: keys.json
identity:
  workload: {{trust_domains: [{trust_domain}]}}
  users:
    - name: demo
      issuer: {issuer}
      audiences: [{audience}]
      jwks: jwks.json
      algorithms: [ES256]
      from: [authorization, "cookie:session"]
client: {{trusted_hops: 0, xff: appended}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The paths in one demo folder."""

    folder: Path

    @property
    def sockets(self) -> Mapping[str, Path]:
        """The Unix sockets by what listens on them."""
        return {name: self.folder / f"{name}.sock" for name in ("grpc", "web", "probes", "upstream", "admin")}

    @property
    def ca(self) -> Path:
        """The certificate that clients trust and that signs clients."""
        return self.folder / "ca.pem"

    @property
    def server(self) -> Pair:
        """The certificate of https://localhost."""
        return self._pair("server")

    def workload(self, name: str) -> Pair:
        """The SVID of a demo workload."""
        return self._pair(name)

    def token(self, sub: str) -> Path:
        """The file with the token of a demo person."""
        return self.folder / f"{sub}.jwt"

    @property
    def issuer_key(self) -> Path:
        """The key that signs tokens."""
        return self.folder / "issuer.key"

    @property
    def configuration(self) -> Path:
        """The configuration of extauthz."""
        return self.folder / "extauthz.yaml"

    @property
    def bootstrap(self) -> Path:
        """The configuration of Envoy."""
        return self.folder / "envoy.yaml"

    @property
    def access_log(self) -> Path:
        """Where Envoy writes a line of JSON for each request."""
        return self.folder / "access.log"

    @property
    def code(self) -> Path:
        """The one-time code of this half minute."""
        return self.folder / "code"

    def log(self, name: str) -> Path:
        """The output of a process."""
        return self.folder / f"{name}.log"

    def _pair(self, name: str) -> Pair:
        return Pair(certificate=self.folder / f"{name}.pem", key=self.folder / f"{name}.key")


def prepare(folder: Path, *, now: datetime) -> Layout:
    """Write certificates, tokens, policies and the configuration of extauthz into `folder`.

    Raises `ConfigurationError` if sockets in it would have too long a name.
    """
    layout = Layout(folder=folder)
    longest = max(layout.sockets.values(), key=lambda path: len(str(path).encode()))
    if len(str(longest).encode()) > MAX_SOCKET_PATH:
        raise ConfigurationError(
            f"{folder}: too long a path for a socket ({MAX_SOCKET_PATH} bytes with its name); choose a shorter --dir"
        )
    folder.chmod(0o700)
    _write_certificates(layout, now)
    _write_tokens(layout, now)
    _write_policies(layout)
    layout.configuration.write_text(
        CONFIGURATION.format(
            **{name: json.dumps(f"unix:{path}") for name, path in layout.sockets.items()},
            trust_domain=TRUST_DOMAIN,
            issuer=ISSUER,
            audience=AUDIENCE,
        )
    )
    return layout


def _write_certificates(layout: Layout, now: datetime) -> None:
    authority = create_authority(layout.ca, common_name="extauthz quickstart", now=now.astimezone(UTC))
    authority.issue_server(layout.folder / "server")
    for name, spiffe_id in WORKLOADS.items():
        authority.issue_workload(layout.folder / name, spiffe_id)


def _write_tokens(layout: Layout, now: datetime) -> None:
    issuer = TokenIssuer.create()
    issuer.save(layout.issuer_key)
    (layout.folder / "jwks.json").write_text(issuer.jwks())
    for person in PEOPLE:
        token = issuer.token(person.sub, person.claims, now=now.timestamp())
        write_private(layout.token(person.sub), token.encode())


def _write_policies(layout: Layout) -> None:
    policies = layout.folder / "policies"
    policies.mkdir(exist_ok=True)
    for source in importlib.resources.files("extauthz.cli.quickstart").joinpath("policies").iterdir():
        (policies / source.name).write_text(source.read_text())
