"""A configuration in which every setting that holds a secret holds a canary, and whom it asks is never there."""

import base64
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

from lookup.deciding import key_set, new_key
from ports import free_port
from pydantic import BaseModel

from extauthz.app.key_file import make_keys
from extauthz.cli.quickstart.certificates import create_authority
from extauthz.values.secret import CONFIDENTIAL, SecretPlace

IDP = "https://127.0.0.1:1"
PRINCIPAL = "spiffe://prod.example.org/ns/shop/sa/web"
POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: site}
spec:
  rules:
    - {name: open, paths: ["/one"], effect: allow}
    - {name: four-eyes, paths: ["/approve"], effect: allow}
    - name: held
      paths: ["/approve"]
      effect: approve
      approve: {approvers: {groups: [ops]}, expires_in: 5m}
    - {name: asks, paths: ["/asks"], when: attributes.crm.tier == "gold", effect: allow}
    - {name: users, paths: ["/users"], when: has(user.sub), effect: allow}
"""


@dataclass
class Planted:
    """The folder of a configuration, the variables that it needs, and every canary by the setting it was put into."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    canaries: dict[str, str] = field(default_factory=dict)
    places: int = 0

    @property
    def config(self) -> Path:
        return self.folder / "extauthz.yaml"

    def made(self, setting: str) -> str:
        """A secret of its own for a setting."""
        name = "".join(letter if letter.isalnum() else "-" for letter in setting)
        self.canaries[setting] = f"canary-{name}-{os.urandom(9).hex()}"
        return self.canaries[setting]

    def file(self, setting: str) -> str:
        """The name of a file with the secret of a setting."""
        return self._written(self.made(setting))

    def _written(self, secret: str) -> str:
        self.places += 1
        path = self.folder / f"secret-{self.places}"
        path.write_text(secret)
        path.chmod(0o600)
        return path.name

    def place(self, setting: str, value: str | None = None) -> dict[str, str]:
        """The place of the secret of a setting, which is in a file, and in a variable for every second one."""
        secret = value or self.made(setting)
        if self.places % 2:
            self.places += 1
            name = f"SECRET_{self.places}"
            self.environ[name] = secret
            return {"variable": name}
        return {"file": self._written(secret)}

    def found_in(self, text: str) -> list[str]:
        """The settings whose secrets are in a text, as they are, in base64 or quoted for a URL."""
        return [setting for setting, canary in self.canaries.items() if any(one in text for one in _spellings(canary))]


def _spellings(canary: str) -> Iterator[str]:
    yield canary
    yield quote(canary, safe="")
    for before in range(3):  # wherever in a text that is encoded it begins
        encoded = base64.b64encode(b"x" * before + canary.encode()).decode()
        yield encoded[before + 2 : -4]


def secret_settings(model: type[BaseModel], before: str = "") -> Iterator[str]:
    """The settings of a model that hold secrets, lists and mappings without their indices."""
    for name, info in model.model_fields.items():
        setting = f"{before}{name}"
        kinds = list(_kinds(info.annotation))
        if SecretPlace in kinds or CONFIDENTIAL in (*kinds, *info.metadata):
            yield setting
            continue
        for kind in dict.fromkeys(kinds):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from secret_settings(kind, f"{setting}.")


def _kinds(annotation: Any) -> Iterator[Any]:
    yield annotation
    for one in get_args(annotation):
        yield from _kinds(one)


def plant(folder: Path) -> Planted:
    """Write the configuration."""
    planted = Planted(folder)
    (folder / "policies").mkdir()
    (folder / "policies" / "site.yaml").write_text(POLICY)
    (folder / "jwks.json").write_text(key_set(new_key("k1")))
    authority = create_authority(folder / "ca.pem", common_name="test", now=datetime.now(UTC))
    for name, setting in (
        ("server", "listen.tls.key"),
        ("approvals", "listen.approvals_tls.key"),
        ("client", "attributes.client.key"),
    ):
        pair = authority.issue_server(folder / name)
        planted.canaries[setting] = _middle(pair.key.read_text())
    make_keys(folder / "keys.json", replace=False)
    (made,) = json.loads((folder / "keys.json").read_text())["keys"]
    planted.canaries["keys"] = next(value for name, value in made.items() if name == "secret")
    planted.config.write_text(json.dumps(_configuration(planted)))
    return planted


def _middle(pem: str) -> str:
    return pem.splitlines()[2]


def _configuration(planted: Planted) -> Mapping[str, Any]:
    def tls(name: str) -> dict[str, str]:
        return {"certificate": f"{name}.pem", "key": f"{name}.key"}

    listen = dict.fromkeys(("grpc", "web", "admin", "approvals", "approvals_grpc"), "127.0.0.1:0")
    return {
        "listen": {**listen, "approvals_tls": tls("approvals")},
        "policies": ["policies/"],
        "store": "sqlite:///state.db",
        "audit": {"path": "audit.jsonl"},
        "admin": {"token": planted.place("admin.token")},
        "signals": {
            "transmitters": [
                {
                    "name": "idp",
                    "issuer": IDP,
                    "audiences": ["us"],
                    "secret": planted.place("signals.transmitters.secret"),
                    "about": {"issuers": [IDP]},
                    "jwks": "jwks.json",
                }
            ]
        },
        "identity": {
            "workload": {
                "trust_domains": ["prod.example.org"],
                "sources": ["source_principal", "kubernetes"],
                "kubernetes": {
                    "trust_domain": "prod.example.org",
                    "issuer": "https://kubernetes.default",
                    "audiences": ["us"],
                    "token_review": f"{IDP}/review",
                    "token": planted.file("identity.workload.kubernetes.token"),
                    "from": ["header:x-workload"],
                },
            },
            "users": [
                {
                    "name": "idp",
                    "issuer": IDP,
                    "audiences": ["shop"],
                    "from": ["authorization"],
                    "introspection": {
                        "url": f"{IDP}/introspect",
                        "client_id": "us",
                        "client_secret_file": planted.file("identity.users.introspection.client_secret_file"),
                    },
                }
            ],
        },
        "stepup": {
            "oidc": [
                {
                    "issuer": IDP,
                    "client_id": "us",
                    "client_secret_file": planted.file("stepup.oidc.client_secret_file"),
                }
            ]
        },
        "attributes": [
            {
                "name": "crm",
                "http": {"url": f"{IDP}/{{sub}}"},
                "ask": {"sub": "workload.id"},
                "fields": {"tier": "string"},
                "token": planted.file("attributes.token"),
                "client": tls("client"),
                "ca": "ca.pem",
            }
        ],
        "approvals": {
            "url": "https://approvals.example.com",
            "login": {
                "issuer": IDP,
                "client_id": "us",
                "client_secret_file": planted.file("approvals.login.client_secret_file"),
            },
            "tokens": {"issuer": IDP, "audiences": ["ops"], "algorithms": ["ES256"], "jwks": "jwks.json"},
            "webhooks": [_hook(planted, "approvals", "chat")],
            "email": {
                "host": "127.0.0.1",
                "port": free_port(),
                "username": "us",
                "password": planted.place("approvals.email.password"),
                "from": "us@example.com",
                "to": {"always": ["ops@example.com"]},
            },
        },
        "events": {"webhooks": [_hook(planted, "events", "siem")]},
    }


def _hook(planted: Planted, block: str, name: str) -> Mapping[str, Any]:
    setting = f"{block}.webhooks"
    canary = planted.made(f"{setting}.url_from")
    key = base64.b64encode(planted.made(f"{setting}.secrets").encode()[-32:]).decode()
    planted.canaries[f"{setting}.secrets"] = f"whsec_{key}"
    return {
        "name": name,
        "url_from": planted.place("", f"https://127.0.0.1:{free_port()}/{canary}"),
        "addresses": ["127.0.0.1"],
        "secrets": [planted.place("", f"whsec_{key}")],
        "secret_headers": {"x-key": planted.place(f"{setting}.secret_headers")},
    }
