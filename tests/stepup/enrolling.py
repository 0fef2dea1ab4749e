"""`extauthz factors`, run, and a factor that it enrolled, proven."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import pyotp
from stepup.proofs import SESSION, demand
from typer.testing import CliRunner

from extauthz.app.wiring import load_keys, open_configured_store
from extauthz.check.proof.proving import ProofOutcome, Proving
from extauthz.check.proof.totp import prove_totp
from extauthz.cli.factors import app as factors
from extauthz.settings import load_settings
from extauthz.values.identity import Subject

ISSUER = "https://idp.example.com"
CONFIGURATION = f"""\
policies: [policies/]
identity:
  users:
    - {{name: idp, issuer: "{ISSUER}", audiences: [shop], jwks: jwks.json}}
"""


def call(*arguments: str, config: Path) -> str:
    """The output of `extauthz factors`; errors are raised."""
    result = CliRunner().invoke(
        factors, [arguments[0], "--config", str(config), *arguments[1:]], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.output


def enroll_as_program(config: Path, user: str = "alice") -> tuple[dict[str, Any], pyotp.TOTP]:
    answer: dict[str, Any] = json.loads(call("enroll", user, "--format", "json", config=config))
    app = pyotp.parse_uri(answer["uri"])
    assert isinstance(app, pyotp.TOTP)
    return answer, app


def prove(config: Path, code: str, user: str = "alice") -> ProofOutcome:
    settings = load_settings(config)
    ring = load_keys(settings)

    async def proven() -> ProofOutcome:
        store = open_configured_store(settings)
        try:
            proving = Proving(
                store=store,
                keys=ring,
                subject=Subject(ISSUER, user),
                session=SESSION,
                holder="peer:x",
                credentials=(),
                demands=(demand(),),
                address="",
                now=time.time(),
                entropy=os.urandom,
            )
            return await prove_totp(proving, code)
        finally:
            await store.close()

    return asyncio.run(proven())
