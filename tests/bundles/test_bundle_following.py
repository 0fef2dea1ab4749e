"""A running server that follows a bundle: new versions, outages, refusals, restarts; over HTTPS and from a file."""

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest
from bundles.bundling import KEY, MANIFEST, OTHER_KEY, good, publish, raw_tar, zipped
from bundles.conftest import BundleServer
from hardening.starting import refused_start
from serving import POLICY, Serve, Served

from extauthz.app.bundles import Bundles
from extauthz.errors import ExtauthzError
from extauthz.policy.bundle import MAX_ARCHIVE
from extauthz.settings import load_settings


def fetches(served: Served, result: str) -> float:
    return served.metric(f'extauthz_bundle_fetches_total{{bundle="policies",result="{result}"}}')


def version(served: Served) -> float:
    return served.metric('extauthz_bundle_version{bundle="policies"}')


def stopped(served: Served) -> None:
    served.process.terminate()
    served.next_event("stopped")
    served.process.wait(10)


def test_a_new_version_comes_in_force_and_what_is_unchanged_is_not_sent_again(
    serve: Serve, bundle_server: BundleServer
) -> None:
    bundle_server.publish(1, "/one")
    served = serve()
    assert (served.allows("/one"), version(served)) == (True, 1)
    while bundle_server.statuses().count(304) < 2:  # bounded by the test's timeout
        served.probe("/live")
    assert bundle_server.statuses("/policies.tar.gz.sig") == [200]
    bundle_server.publish(2, "/two")
    reloaded = served.next_event("reloaded")
    assert reloaded["bundles"] == {"policies": 2}
    assert (served.allows("/one"), served.allows("/two"), version(served)) == (False, True, 2)
    assert fetches(served, "changed") == 2
    assert fetches(served, "unchanged") >= 2


def test_an_outage_changes_nothing_and_is_asked_less_and_less(serve: Serve, bundle_server: BundleServer) -> None:
    bundle_server.publish(1, "/one")
    served = serve()
    bundle_server.status = 503
    for _ in range(4):
        assert "answered with 503" in served.next_event("bundle-out-of-reach")["error"]
    assert served.allows("/one")
    assert served.probe("/ready").status_code == 200
    failed = [at for at, _, status in bundle_server.asked if status == 503]
    waited = [after - before for before, after in pairwise(failed[:4])]
    assert waited[2] > 1.5 * waited[0]
    bundle_server.status = 200
    bundle_server.publish(2, "/two")
    served.next_event("reloaded")
    assert served.allows("/two")
    assert fetches(served, "failed") >= 4


REFUSED = [
    (good(3, POLICY.format(path="/two")), OTHER_KEY, "the signature is not one of this archive"),
    (good(1, POLICY.format(path="/two")), KEY, "version 1 is older than 2"),
    (good(2, POLICY.format(path="/two")), KEY, "version 2 was accepted before with other content"),
    (good(3, POLICY.format(path="/two"), name="staging"), KEY, "is the bundle `staging`, not `policies`"),
    (zipped(raw_tar(manifest={**MANIFEST, "version": -1})), KEY, "manifest.json: version"),
    (b"<html>maintenance</html>", KEY, "not compressed with gzip"),
    (bytes(MAX_ARCHIVE + 1), KEY, "longer than"),
]


def test_what_is_not_a_newer_bundle_by_this_key_is_refused(serve: Serve, bundle_server: BundleServer) -> None:
    bundle_server.publish(2, "/one")
    served = serve()
    for archive, key, message in REFUSED:
        bundle_server.put(archive, key=key)
        while message not in served.next_event("bundle-refused")["error"]:
            pass
        assert (served.allows("/one"), version(served)) == (True, 2)
        bundle_server.put(good(2, POLICY.format(path="/one")))  # what is in force: the patience is back
        asked = len(bundle_server.statuses())
        while bundle_server.statuses()[asked:].count(304) < 1:
            served.probe("/live")
    assert fetches(served, "refused") >= len(REFUSED)
    bundle_server.publish(4, "/four")
    served.next_event("reloaded")
    assert served.allows("/four")


def test_a_changed_byte_or_a_missing_signature_is_refused(serve: Serve, bundle_server: BundleServer) -> None:
    bundle_server.publish(1, "/one")
    served = serve()
    tampered = bytearray(good(2, POLICY.format(path="/two")))
    bundle_server.publish(2, "/two")
    tampered[-1] ^= 1
    bundle_server.archive = bytes(tampered)
    assert "signature" in served.next_event("bundle-refused")["error"]
    bundle_server.publish(3, "/three")
    bundle_server.signature = b""
    assert "answered with 404" in served.next_event("bundle-out-of-reach")["error"]
    assert served.allows("/one")
    bundle_server.publish(3, "/three")
    served.next_event("reloaded")
    assert served.allows("/three")


def test_a_restart_without_network_starts_with_the_last_good_one(
    serve: Serve, bundle_server: BundleServer, folder: Path, environ: dict[str, str]
) -> None:
    bundle_server.publish(2, "/one")
    stopped(serve())
    bundle_server.status = 503
    served = serve()
    assert any(line["event"] == "bundle-from-cache" and line["version"] == 2 for line in served.heard)
    assert served.allows("/one")
    stopped(served)
    cached = folder / "bundles" / "policies.bundle"
    content = bytearray(cached.read_bytes())
    content[-1] ^= 1
    cached.write_bytes(content)
    assert "the signature is not one of this archive" in refused_start(folder, environ)


def test_no_older_version_is_accepted_after_a_restart(
    serve: Serve, bundle_server: BundleServer, folder: Path, environ: dict[str, str]
) -> None:
    bundle_server.publish(5, "/five")
    stopped(serve())
    bundle_server.publish(4, "/four")
    served = serve()
    assert any(
        line["event"] == "bundle-refused" and "version 4 is older than 5" in line["error"] for line in served.heard
    )
    assert (served.allows("/five"), served.allows("/four")) == (True, False)
    stopped(served)
    (folder / "bundles" / "policies.bundle").unlink()  # without the cache there is nothing to start from
    assert "version 4 is older than 5" in refused_start(folder, environ)
    (folder / "bundles" / "policies.json").write_text("{}")
    assert "does not say which bundle was accepted last" in refused_start(folder, environ)


def test_a_new_version_with_an_error_stays_out_over_restarts_too(serve: Serve, bundle_server: BundleServer) -> None:
    bundle_server.publish(1, "/one")
    served = serve()
    bundle_server.publish(2, "no slash")
    assert "policies@2/site.yaml:7:" in served.next_event("reload-refused")["error"]
    assert "policies@2/site.yaml:7:" in served.probe("/ready").json()["reload_error"]
    assert (served.allows("/one"), version(served)) == (True, 1)
    stopped(served)
    served = serve()
    assert any(line["event"] == "newest-bundles-refused" for line in served.heard)
    assert (served.allows("/one"), version(served)) == (True, 1)
    bundle_server.publish(3, "/three")
    served.next_event("reloaded")
    assert served.allows("/three")


def test_a_server_that_can_not_be_trusted_gives_no_bundle(
    bundle_server: BundleServer, folder: Path, environ: dict[str, str]
) -> None:
    bundle_server.publish(1, "/one")
    stranger = {name: value for name, value in environ.items() if name != "SSL_CERT_FILE"}
    assert "certificate verify failed" in refused_start(folder, stranger).lower()
    bundle_server.status, bundle_server.location = 302, bundle_server.url
    assert "answered with 302" in refused_start(folder, environ)


def test_a_bundle_in_a_file_is_watched(serve: Serve, folder: Path) -> None:
    archive = folder / "policies.tar.gz"
    config = (folder / "extauthz.yaml").read_text()
    before, _, _ = config.partition("bundles:")
    (folder / "extauthz.yaml").write_text(before + "bundles: [{path: policies.tar.gz, key: public.pem}]\n")
    publish(archive, good(2, POLICY.format(path="/one")))
    served = serve()
    assert served.allows("/one")
    publish(archive, good(3, POLICY.format(path="/three")))
    while not served.allows("/three"):
        served.next_event("reloaded")
    publish(archive, good(1, POLICY.format(path="/one")))
    while "version 1 is older than 3" not in served.next_event("reload-refused")["error"]:
        pass
    assert served.allows("/three")
    publish(archive, good(4, POLICY.format(path="/four")))
    while not served.allows("/four"):
        served.next_event("reloaded")


def test_bundles_and_files_are_one_set(serve: Serve, bundle_server: BundleServer, folder: Path) -> None:
    (folder / "own.yaml").write_text(POLICY.format(path="/own").replace("name: site", "name: own"))
    with (folder / "extauthz.yaml").open("a") as config:
        config.write("policies: [own.yaml]\n")
    bundle_server.publish(1, "/one")
    served = serve()
    assert (served.allows("/one"), served.allows("/own")) == (True, True)
    assert served.metric("extauthz_policy_rules") == 2


@pytest.mark.parametrize(
    ("bundles", "message"),
    [
        ("[{url: 'http://example.com/b.tar.gz', key: public.pem}]", "must be an `https://` URL"),
        ("[{url: 'https://u:p@example.com/b.tar.gz', key: public.pem}]", "not a URL"),
        ("[{url: 'ftp://127.0.0.1/b.tar.gz', key: public.pem}]", "must be an `https://` URL"),
        ("[{url: '/b.tar.gz', key: public.pem}]", "not a URL"),
        ("[{key: public.pem}]", "one of `url` and `path`"),
        ("[{url: 'https://a/b', path: b, key: public.pem}]", "one of `url` and `path`"),
        ("[{path: b}]", "missing field `key`"),
        ("[{path: b, key: public.pem, poll: 2d}]", "must be at most 24h"),
        ("[{path: b, key: public.pem, name: ../x}]", "not a name"),
        ("[{path: b, key: public.pem}, {path: c, key: public.pem}]", "have one name"),
        ("[{path: missing.tar.gz, key: public.pem}]", "can't read the bundle"),
        ("[{path: b, key: missing.pem}]", "can't read the key of a bundle"),
        ("[{path: b, key: ca.pem}]", "not an Ed25519 public key"),
    ],
)
def test_a_configuration_that_can_not_be_used_is_refused(folder: Path, bundles: str, message: str) -> None:
    (folder / "extauthz.yaml").write_text(f"store: 'memory:'\nbundles: {bundles}\n")
    with pytest.raises(ExtauthzError) as caught:
        asyncio.run(Bundles(load_settings(folder / "extauthz.yaml"), lambda *_: None).start())
    assert message in str(caught.value)
