"""What can be wrong with `signals:` and `admin:`, told with its place; and where their secrets come from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from lookup.deciding import key_set
from signals.transmitting import ISSUER, KEY, OTHER, SECRET, written

from extauthz.app.transmitters import Transmitters
from extauthz.errors import ConfigurationError
from extauthz.policy.problems import PolicyErrors
from extauthz.settings import Settings, load_settings


def load(folder: Path, **blocks: object) -> Settings:
    lines = [f"{name}: {json.dumps(block)}" for name, block in {"policies": ["p/"], **blocks}.items()]
    (folder / "extauthz.yaml").write_text("\n".join(lines))
    return load_settings(folder / "extauthz.yaml")


def of(*transmitters: dict[str, Any], **changed: object) -> dict[str, Any]:
    return {"transmitters": list(transmitters), **changed}


def test_without_a_block_nobody_may_send_anything(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert (settings.signals.transmitters, settings.signals.listener, settings.admin.token) == ((), "web", None)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"about": {}}, "names nobody; write `issuers:"),
        ({"about": {"issuers": []}}, "names nobody"),
        ({"about": {"issuers": [ISSUER, ISSUER]}}, "is listed twice"),
        ({"about": {"issuers": [ISSUER], "opaque": OTHER}}, f"`opaque` is `{OTHER}`, which is not among `issuers`"),
        ({"about": {"devices": True, "email": ISSUER}}, "`email` is"),
        ({"about": {"trust_domains": ["Prod.example.org"]}}, "is no trust domain"),
        ({"about": {"issuers": [ISSUER], "phone": ISSUER}}, "unknown field `phone`"),
        ({"audiences": []}, "an empty list means nothing"),
        ({"secret": {}}, "a secret is in one place"),
        ({"secret": {"file": "a", "variable": "B"}}, "a secret is in one place"),
        ({"secret": {"variable": "EXTAUTHZ_SECRET"}}, "would be a setting"),
        ({"secret": {"variable": "a-b"}}, "is no name of a variable"),
        ({"secret": SECRET}, "secret"),
        ({"algorithms": ["HS256"]}, "proves nothing with public keys"),
        ({"algorithms": ["none"]}, "proves nothing with public keys"),
        ({"algorithms": []}, "an empty list means nothing"),
        ({"name": "Of/Mine"}, "`Of/Mine` can't be a part of its address"),
        ({"jwks": "http://ssf.example.com/keys"}, "must be an `https://` URL"),
        ({"discovery": "openid"}, "both say where the keys are"),
        ({"max_age": "91d"}, "must be at most 90d"),
        ({"max_age": "0s"}, "longer than nothing"),
        ({"leeway": "1h"}, "must be at most 5m"),
        ({"keep": 30}, "without a unit"),
    ],
)
def test_what_says_nothing_or_could_be_said_by_anybody_is_refused(
    tmp_path: Path, changed: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(PolicyErrors) as refused:
        load(tmp_path, signals=of(written(**changed)))
    assert message in str(refused.value)
    assert "extauthz.yaml:2:" in str(refused.value)
    assert SECRET not in str(refused.value) or changed == {"secret": SECRET}


def test_a_transmitter_needs_keys_and_a_name_of_its_own(tmp_path: Path) -> None:
    without = written()
    del without["jwks"]
    with pytest.raises(PolicyErrors, match="missing field `jwks`"):
        load(tmp_path, signals=of(without))
    with pytest.raises(PolicyErrors, match="`idp` is the name of two transmitters"):
        load(tmp_path, signals=of(written(), written(issuer=OTHER)))
    with pytest.raises(PolicyErrors, match="`grpc` is not one of `web`, `admin`"):
        load(tmp_path, signals=of(written(), listener="grpc"))


def transmitters(folder: Path, environ: Mapping[str, str], **changed: Any) -> Transmitters:
    settings = load(folder, signals=of(written(**changed)))
    return Transmitters(settings.signals, base=settings.base, environ=environ)


def test_a_secret_is_read_from_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "ssf.json").write_text(key_set(KEY))
    (tmp_path / "secret").write_text(SECRET + "\n")
    for known in (
        transmitters(tmp_path, {"SSF_SECRET": SECRET}),
        transmitters(tmp_path, {}, secret={"file": "secret"}),
    ):
        known.read()
        assert known.secret("idp") == SECRET
        keys = known.of("idp")
        assert keys is not None
        assert keys.ids == {KEY.kid}
    assert known.files == (tmp_path / "ssf.json", tmp_path / "secret")


@pytest.mark.parametrize(
    ("environ", "changed", "message"),
    [
        ({}, {}, "the variable `SSF_SECRET` is not set"),
        ({"SSF_SECRET": ""}, {}, "is not set"),
        ({"SSF_SECRET": "two\nlines and long enough"}, {}, "one line of ASCII text"),
        ({"SSF_SECRET": "a" * 15}, {}, "shorter than 16 characters"),
        ({"SSF_SECRET": SECRET}, {"jwks": "none.json"}, "can't read the keys: no such file"),
        ({"SSF_SECRET": SECRET}, {"jwks": "extauthz.yaml"}, "signals.transmitters[0].jwks"),
        ({}, {"secret": {"file": "none"}}, "can't read the secret"),
    ],
)
def test_what_can_not_be_used_is_told_with_its_place_and_changes_nothing(
    tmp_path: Path, environ: Mapping[str, str], changed: Mapping[str, Any], message: str
) -> None:
    (tmp_path / "ssf.json").write_text(key_set(KEY))
    known = transmitters(tmp_path, environ, **changed)
    with pytest.raises(ConfigurationError) as refused:
        known.read()
    assert message in str(refused.value)
    assert known.of("idp") is None
    for secret in environ.values():
        assert not secret or secret not in str(refused.value)
