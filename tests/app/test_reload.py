"""Reload of a running server: by signal, by changes of files, by swapped folders; and what a bad set changes."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from serving import CONFIG, POLICY, Serve, Served, on_one_transport

ACCEPTED = 'extauthz_policy_reloads_total{result="accepted"}'
REFUSED = 'extauthz_policy_reloads_total{result="refused"}'
BAD = "no leading slash"


def reloads(served: Served) -> tuple[float, float]:
    """How many were accepted and refused."""
    return served.metric(ACCEPTED), served.metric(REFUSED)


def test_a_changed_file_is_enough(serve: Serve) -> None:
    served = serve()
    served.write_policy("/two")
    reloaded = served.next_event("reloaded")
    assert (served.allows("/one"), served.allows("/two")) == (False, True)
    assert served.probe("/ready").json()["revision"] == reloaded["revision"]
    assert served.metric(f'extauthz_policy_info{{revision="{reloaded["revision"]}"}}') == 1
    assert served.metric("extauthz_policy_rules") == 1
    assert served.probe("/metrics").text.count("extauthz_policy_info{") == 1


def test_without_watching_only_the_signal_counts(serve: Serve) -> None:
    served = serve(EXTAUTHZ_RELOAD__WATCH="false")
    served.write_policy("/two")
    served.process.send_signal(signal.SIGHUP)
    reloaded = served.next_event("reloaded")
    assert reloaded["revision"] != served.said["revision"]
    assert served.probe("/ready").json()["revision"] == reloaded["revision"]
    assert (served.allows("/one"), served.allows("/two")) == (False, True)
    assert reloads(served) == (1, 0)


def test_a_bad_set_stays_out_until_it_is_mended(serve: Serve) -> None:
    served = serve()
    first = served.metric("extauthz_policy_last_reload_success_timestamp_seconds")
    assert served.metric("extauthz_policy_last_reload_successful") == 1
    served.write_policy(BAD)
    refused = served.next_event("reload-refused")
    assert "site.yaml:7:" in refused["error"]
    assert "exception" not in refused
    assert served.allows("/one")
    ready = served.probe("/ready")
    assert (ready.status_code, ready.json()["revision"]) == (200, served.said["revision"])
    assert "site.yaml:7:" in ready.json()["reload_error"]
    assert served.metric("extauthz_policy_last_reload_successful") == 0
    assert served.metric("extauthz_policy_last_reload_success_timestamp_seconds") == first
    served.write_policy("/two")
    served.next_event("reloaded")
    assert served.allows("/two")
    assert served.probe("/ready").json()["reload_error"] is None
    assert served.metric("extauthz_policy_last_reload_successful") == 1
    assert served.metric("extauthz_policy_last_reload_success_timestamp_seconds") > first
    assert reloads(served) == (1, 1)


def write_config_map(mount: Path, generation: int, path: str) -> None:
    """What a kubelet does: a folder beside, and a link that is replaced; the files are links through it."""
    folder = mount / f"..2026_11_21_{generation}"
    folder.mkdir(parents=True)
    (folder / "site.yaml").write_text(POLICY.format(path=path))
    (folder / "more.yaml").write_text(POLICY.format(path="/more").replace("name: site", "name: more"))
    link = mount / "..data_tmp"
    link.symlink_to(folder.name)
    before = (mount / "..data").resolve() if (mount / "..data").exists() else None
    link.rename(mount / "..data")
    for name in ("site.yaml", "more.yaml"):
        if not (mount / name).is_symlink():
            (mount / name).symlink_to(f"..data/{name}")
    if before is not None:
        for file in before.iterdir():
            file.unlink()
        before.rmdir()


@on_one_transport
@pytest.mark.parametrize("policies", ["[mount/]", "[mount/site.yaml, mount/more.yaml]"])
def test_a_config_map_that_is_swapped_is_one_change(serve: Serve, folder: Path, policies: str) -> None:
    (folder / "extauthz.yaml").write_text(CONFIG.replace("[policies/]", policies))
    write_config_map(folder / "mount", 1, "/one")
    served = serve()
    for generation in (2, 3):
        write_config_map(folder / "mount", generation, f"/{generation}")
        served.next_event("reloaded")
        assert (served.allows(f"/{generation}"), served.allows("/more")) == (True, True)
    assert reloads(served) == (2, 0)


@on_one_transport
def test_a_release_that_is_swapped_by_its_link_is_one_change(serve: Serve, folder: Path) -> None:
    (folder / "extauthz.yaml").write_text(CONFIG.replace("policies/", "current/policies"))
    for release in ("r1", "r2", "r3"):
        (folder / "releases" / release / "policies").mkdir(parents=True)
        (folder / "releases" / release / "policies" / "site.yaml").write_text(POLICY.format(path=f"/{release}"))
    (folder / "current").symlink_to("releases/r1")
    served = serve()
    for release in ("r2", "r3"):
        (folder / "next").symlink_to(f"releases/{release}")
        (folder / "next").rename(folder / "current")
        served.next_event("reloaded")
        assert served.allows(f"/{release}")
    assert reloads(served) == (2, 0)


@on_one_transport
def test_a_burst_ends_with_what_was_written_last(serve: Serve) -> None:
    served = serve()
    for number in range(300):
        served.write_policy(BAD if number % 2 else f"/{number}")
    served.write_policy("/last")
    while not served.allows("/last"):
        served.next_event("reloaded")
    assert sum(reloads(served)) < 5
    assert served.probe("/ready").json()["reload_error"] is None


@on_one_transport
def test_what_an_editor_leaves_is_no_change(serve: Serve, folder: Path) -> None:
    served = serve()
    policies = folder / "policies"
    for name in (".site.yaml.swp", "4913", "site.yaml~", "#site.yaml#", ".#site.yaml"):
        (policies / name).write_text("not: {a policy")
        (policies / name).write_text("- not one")
    (policies / "4913").unlink()
    (policies / "new.tmp").write_text(POLICY.format(path="/two"))
    (policies / "new.tmp").rename(policies / "site.yaml")
    served.next_event("reloaded")
    assert served.allows("/two")
    assert reloads(served) == (1, 0)


@on_one_transport
def test_a_file_that_is_gone_for_a_moment_is_waited_for(serve: Serve, folder: Path) -> None:
    (folder / "extauthz.yaml").write_text(CONFIG.replace("[policies/]", "[policies/site.yaml]"))
    served = serve()
    (folder / "policies" / "site.yaml").unlink()
    served.write_policy("/two")
    served.next_event("reloaded")
    assert reloads(served) == (1, 0)


@on_one_transport
def test_a_file_that_stays_away_is_refused_and_welcome_again(serve: Serve, folder: Path) -> None:
    (folder / "extauthz.yaml").write_text(CONFIG.replace("[policies/]", "[policies/site.yaml]"))
    served = serve()
    (folder / "policies" / "site.yaml").unlink()
    assert "site.yaml" in served.next_event("reload-refused")["error"]
    assert served.allows("/one")
    served.write_policy("/two")
    served.next_event("reloaded")
    assert served.allows("/two")


@on_one_transport
@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir], ids=["pipe", "folder"])
def test_what_takes_the_place_of_a_key_file_is_refused_and_not_waited_for(
    serve: Serve, folder: Path, make: Callable[[Path], None]
) -> None:
    keys = folder / "jwks.json"
    users = "identity: {users: [{name: idp, issuer: 'https://idp.example.com', audiences: [shop], jwks: jwks.json}]}\n"
    (folder / "extauthz.yaml").write_text(CONFIG + users)
    jwk = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True)
    good = json.dumps({"keys": [{**jwk, "kid": "k1", "alg": "ES256"}]})
    keys.write_text(good)
    served = serve()
    keys.unlink()
    make(keys)
    assert "jwks.json" in served.next_event("reload-refused")["error"]
    assert served.allows("/one")
    keys.rename(folder / "aside")
    keys.write_text(good)
    served.write_policy("/two")
    served.next_event("reloaded")
    assert served.allows("/two")
    served.process.terminate()
    served.next_event("stopped")


@on_one_transport
def test_a_new_key_set_is_read(serve: Serve, folder: Path) -> None:
    users = (
        "identity: {users: [{name: idp, issuer: 'https://idp.example.com', audiences: [shop], jwks: keys/jwks.json}]}\n"
    )
    (folder / "extauthz.yaml").write_text(CONFIG + users)
    (folder / "policies" / "site.yaml").write_text(
        POLICY.format(path="/one").replace("allow}", "allow, when: has(user.sub)}")
    )
    (folder / "keys").mkdir()

    def new_key() -> ec.EllipticCurvePrivateKey:
        key = ec.generate_private_key(ec.SECP256R1())
        jwk = {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "k1", "alg": "ES256", "use": "sig"}
        (folder / "keys" / "jwks.json").write_text(json.dumps({"keys": [jwk]}))
        return key

    def is_known(key: ec.EllipticCurvePrivateKey) -> bool:
        now = int(time.time())
        claims = {"iss": "https://idp.example.com", "aud": "shop", "sub": "u1", "iat": now, "exp": now + 60}
        token = jwt.encode(claims, key, algorithm="ES256", headers={"kid": "k1"})
        return served.allows("/one", authorization=f"Bearer {token}")

    first = new_key()
    served = serve()
    assert is_known(first)
    second = new_key()
    reloaded = served.next_event("reloaded")
    assert reloaded["revision"] == served.said["revision"]
    assert (is_known(first), is_known(second)) == (False, True)
    (folder / "keys" / "jwks.json").write_text("{")
    assert "jwks" in served.next_event("reload-refused")["error"]
    assert is_known(second)


def test_a_stop_does_not_wait_for_a_reload(serve: Serve, folder: Path) -> None:
    served = serve(EXTAUTHZ_RELOAD__WATCH="false")
    rules = "\n".join(
        f"    - {{name: r{n}, paths: ['/{n}'], when: 'request.path.size() > {n}', effect: allow}}" for n in range(3000)
    )
    text = POLICY.format(path="/one") + rules
    (folder / "policies" / "site.yaml").write_text(text)
    served.process.send_signal(signal.SIGHUP)
    assert served.allows("/one")
    served.process.send_signal(signal.SIGTERM)
    served.next_event("stopped")
    assert served.process.wait(10) == 0
