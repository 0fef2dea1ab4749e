"""A bank whose address is known before it runs, so that keys and an identity provider can be told of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e import bootstrap
from e2e.stage import Script, stage
from e2e.visitors import Site
from oidc.provider import CLIENT_SECRET, STEP_UP_CLIENT, Provider, new_keys, providing
from ports import free_port

from extauthz.cli.quickstart.tokens import ISSUER


@dataclass(frozen=True, kw_only=True)
class SiteWithProvider(Site):
    """A site with an identity provider beside it."""

    provider: Provider


@contextmanager
def site(
    policies: str,
    screenshots: Path,
    *,
    request: Mapping[str, Any] | None = None,
    stepup: Mapping[str, Any] | None = None,
) -> Iterator[Site]:
    """A site where security keys can be used; `request` and `stepup` are what its configuration says of these."""
    port = free_port()
    url = f"https://localhost:{port}"

    def at_that_port(tree: bootstrap.Tree) -> None:
        tree["static_resources"]["listeners"][0]["address"] = bootstrap.tcp(port)

    party = {"id": "localhost", "name": "The bank", "origins": [url]}
    configuration = {"request": dict(request or {}), "stepup": {"webauthn": party, **(stepup or {})}}
    with stage(Script(policies=policies, edit=at_that_port, configuration=configuration)) as running:
        yield Site(stage=running, url=url, screenshots=screenshots)


@contextmanager
def site_with_provider(
    policies: str, screenshots: Path, secrets: Path, *, request: Mapping[str, Any] | None = None, **told: object
) -> Iterator[SiteWithProvider]:
    """A site at whose provider people can log in again; `told` is what its configuration says of it beside its address.

    `secrets` is a folder for the secret that both know.
    """
    port = free_port()
    (secrets / "secret").write_text(CLIENT_SECRET)
    oidc = {
        "issuer": f"https://127.0.0.1:{port}",
        "client_id": STEP_UP_CLIENT,
        "client_secret_file": str(secrets / "secret"),
        "ca": "ca.pem",
        "algorithms": ["ES256"],
        "subjects": {ISSUER: "sub"},
        **told,
    }
    with site(policies, screenshots, request=request, stepup={"oidc": [oidc]}) as running:
        stage_ = running.stage
        pair = stage_.authority.issue(stage_.folder / "idp", common_name="idp", addresses=["127.0.0.1"])
        tls = (pair.certificate, pair.key)
        with providing(*new_keys("k1"), port=port, tls=tls, callback=f"{running.url}/.extauthz/oidc") as provider:
            yield SiteWithProvider(stage=stage_, url=running.url, screenshots=screenshots, provider=provider)
