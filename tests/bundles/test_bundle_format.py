"""Bundles as bytes: what opens, and every way in which an archive is refused."""

import base64
import io
import tarfile
from contextlib import suppress

import pytest
from bundles.bundling import CREATED, KEY, MANIFEST, OTHER_KEY, good, private_pem, public_pem, raw_tar, zipped
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from extauthz.policy import bundle as bundles
from extauthz.policy.bundle import Bundle, BundleRefused, open_bundle, pack, private_key, public_key, refuse_older, sign
from extauthz.policy.yaml_source import MAX_CHARACTERS

POLICY = b"kind: Policy\n"


def opened(archive: bytes, *, name: str = "policies") -> Bundle:
    return open_bundle(archive, sign(archive, KEY), key=KEY.public_key(), name=name)


def test_what_is_packed_opens() -> None:
    files = [("b.yaml", b"2"), ("a/deep/er.yml", b"1"), ("c" * 150 + "/" + "d" * 90 + ".yaml", b"3")]
    archive = pack(files, name="site-1", version=7, created=CREATED)
    bundle = opened(archive, name="site-1")
    assert (bundle.name, bundle.version, bundle.created) == ("site-1", 7, CREATED)
    assert bundle.files == tuple(sorted(files))
    assert bundle.places[0][0] == "site-1@7/a/deep/er.yml"
    assert archive == pack(reversed(files), name="site-1", version=7, created=CREATED)


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (zipped(raw_tar(("a.yaml", POLICY))), "does not begin with `manifest.json`"),
        (zipped(raw_tar()), "does not begin with `manifest.json`"),
        (zipped(raw_tar(("a.yaml", POLICY), ("manifest.json", b"{}"))), "not a policy file"),
        (zipped(raw_tar(manifest=b"{")), "manifest.json: "),
        (zipped(raw_tar(manifest=b"[]")), "manifest.json: "),
        (zipped(raw_tar(manifest=b" " * 5000)), "manifest.json: longer than 4096 bytes"),
        (zipped(raw_tar(manifest={**MANIFEST, "more": 1})), "manifest.json: more: "),
        (zipped(raw_tar(manifest={**MANIFEST, "version": 0})), "manifest.json: version: "),
        (zipped(raw_tar(manifest={**MANIFEST, "version": "2"})), "manifest.json: version: "),
        (zipped(raw_tar(manifest={**MANIFEST, "version": True})), "manifest.json: version: "),
        (zipped(raw_tar(manifest={**MANIFEST, "version": 2**60})), "manifest.json: version: "),
        (zipped(raw_tar(manifest={**MANIFEST, "created": "yesterday"})), "manifest.json: created: "),
        (zipped(raw_tar(manifest={**MANIFEST, "format": "extauthz-bundle/2"})), "manifest.json: format: "),
        (zipped(raw_tar(manifest={**MANIFEST, "name": "../etc"})), "manifest.json: name: "),
        (zipped(raw_tar(manifest={**MANIFEST, "name": "other"})), "is the bundle `other`, not `policies`"),
        *(
            (zipped(raw_tar((name, POLICY), manifest=MANIFEST)), "not a plain relative path")
            for name in (
                "../a.yaml",
                "/etc/a.yaml",
                "a/../b.yaml",
                "a//b.yaml",
                "./a.yaml",
                "a/.hidden.yaml",
                "a\\b.yaml",
                "a\nb.yaml",
                "a\x1b[2Jb.yaml",
                "a\u202eb.yaml",
            )
        ),
        *(
            (zipped(raw_tar((name, POLICY), manifest=MANIFEST)), "not a policy file")
            for name in ("a.txt", "a", "a.yaml.exe", "a.YAML", "x/manifest.json")
        ),
        (zipped(raw_tar(("a.yaml", POLICY), ("a.yaml", POLICY), manifest=MANIFEST)), "is there twice"),
        (zipped(raw_tar(("manifest.json", b"{}"), manifest=MANIFEST)), "is there twice"),
        *(
            (zipped(raw_tar(lambda info, kind=kind: setattr(info, "type", kind), manifest=MANIFEST)), "not a regular")  # type: ignore[misc]  # a default binds the loop's value
            for kind in (
                tarfile.SYMTYPE,
                tarfile.LNKTYPE,
                tarfile.DIRTYPE,
                tarfile.CHRTYPE,
                tarfile.BLKTYPE,
                tarfile.FIFOTYPE,
                tarfile.CONTTYPE,
            )
        ),
        (b"", "is cut off"),
        (b"not gzip", "not compressed with gzip"),
        (good(1, "a")[:-9], "is cut off"),
        (good(1, "a") + b"x", "something behind its end"),
        (good(1, "a") + good(2, "b"), "something behind its end"),
        (zipped(b"x" * 700), "not a tar archive"),
        (zipped(raw_tar(("a.yaml", b"x" * 5000), manifest=MANIFEST)[:3000]), "not a tar archive"),
    ],
)
def test_an_archive_of_another_form_is_refused_although_signed(archive: bytes, message: str) -> None:
    with pytest.raises(BundleRefused) as caught:
        opened(archive)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_sparse_member_is_refused() -> None:
    info = tarfile.TarInfo("a.yaml")
    info.size = 0
    info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.size": str(2**40), "GNU.sparse.map": "0,0"}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        manifest = raw_tar(manifest=MANIFEST)
        with tarfile.open(fileobj=io.BytesIO(manifest)) as source:
            member = source.getmember("manifest.json")
            tar.addfile(member, source.extractfile(member))
        tar.addfile(info)
    with pytest.raises(BundleRefused):
        opened(zipped(stream.getvalue()))


def test_bombs_are_refused_before_they_unfold(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BundleRefused, match="unpacks to more than"):
        opened(zipped(bytes(bundles.MAX_UNPACKED + 1)))
    big = ("a.yaml", bytes(MAX_CHARACTERS + 1))
    with pytest.raises(BundleRefused, match="longer than"):
        opened(zipped(raw_tar(big, manifest=MANIFEST)))
    many = [(f"{n}.yaml", b"") for n in range(6)]
    monkeypatch.setattr(bundles, "MAX_FILES", 5)
    with pytest.raises(BundleRefused, match="more than 5 files"):
        opened(zipped(raw_tar(*many, manifest=MANIFEST)))
    monkeypatch.setattr(bundles, "MAX_ARCHIVE", 100)
    with pytest.raises(BundleRefused, match="longer than 100 bytes"):
        opened(good(1, "a"))


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        b"\n",
        b"not base64!",
        b"AAAA",
        sign(good(1, "a"), OTHER_KEY),
        sign(good(2, "a"), KEY),
        sign(good(1, "a"), KEY)[:-6] + b"AAA==\n",
        sign(good(1, "a"), KEY) * 2,
    ],
)
def test_a_wrong_signature_is_refused(signature: bytes) -> None:
    with pytest.raises(BundleRefused, match="signature"):
        open_bundle(good(1, "a"), signature, key=KEY.public_key(), name="policies")


def test_a_signature_over_the_bare_archive_is_none_of_a_bundle() -> None:
    bare = base64.b64encode(KEY.sign(good(1, "a")))
    with pytest.raises(BundleRefused, match="signature"):
        open_bundle(good(1, "a"), bare, key=KEY.public_key(), name="policies")


@given(st.integers(min_value=0, max_value=len(good(1, "a: 1")) * 8 - 1))
def test_no_bit_of_a_signed_archive_can_be_changed(bit: int) -> None:
    archive = bytearray(good(1, "a: 1"))
    signature = sign(bytes(archive), KEY)
    archive[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BundleRefused, match="signature"):
        open_bundle(bytes(archive), signature, key=KEY.public_key(), name="policies")


@given(st.binary(max_size=2000))
def test_whatever_is_signed_is_opened_or_refused(content: bytes) -> None:
    for archive in (content, zipped(content), zipped(raw_tar(manifest=MANIFEST)[:-1024] + content)):
        with suppress(BundleRefused):
            assert opened(archive).files == ()


def test_an_older_version_and_other_content_of_the_same_are_refused() -> None:
    bundle = opened(good(5, "a"))
    refuse_older(bundle, version=4, sha256="other")
    refuse_older(bundle, version=5, sha256=bundle.sha256)
    with pytest.raises(BundleRefused, match="version 5 is older than 6"):
        refuse_older(bundle, version=6, sha256="other")
    with pytest.raises(BundleRefused, match="with other content"):
        refuse_older(bundle, version=5, sha256="other")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([("a.txt", b"")], "not a policy file"),
        ([("../a.yaml", b"")], "not a plain relative path"),
        ([("a.yaml", b""), ("a.yaml", b"")], "is there twice"),
    ],
)
def test_what_could_not_be_opened_is_not_packed(files: list[tuple[str, bytes]], message: str) -> None:
    with pytest.raises(BundleRefused, match=message):
        pack(files, name="policies", version=1, created=CREATED)


@pytest.mark.parametrize(("name", "version"), [("Big", 1), ("", 1), ("a", 0), ("a", 2**60)])
def test_a_manifest_that_could_not_be_read_is_not_packed(name: str, version: int) -> None:
    with pytest.raises(BundleRefused):
        pack([], name=name, version=version, created=CREATED)


def test_only_ed25519_keys_are_keys() -> None:
    assert public_key(public_pem()) == KEY.public_key()
    assert private_key(private_pem()).public_key() == KEY.public_key()
    other = rsa.generate_private_key(65537, 2048)
    public = other.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    encrypted = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    for pem in (b"", b"nonsense", public):
        with pytest.raises(BundleRefused, match="not an Ed25519 public key"):
            public_key(pem)
    with pytest.raises(BundleRefused, match="this is a private key; give the public one"):
        public_key(private_pem())
    for pem in (b"", encrypted):
        with pytest.raises(BundleRefused, match="not an unencrypted Ed25519 private key"):
            private_key(pem)
    with pytest.raises(BundleRefused, match="this is a public key; give the private one"):
        private_key(public_pem())
