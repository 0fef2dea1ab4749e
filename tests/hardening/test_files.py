"""Files that can't be used end a start, each with one line: the table is every file that the settings can name."""

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import geoip
import pytest
from described import descriptors
from hardening.secret_settings import Planted, plant
from hardening.starting import NOBODY, as_nobody, refusal

from extauthz.app.exposed import Named, named_files
from extauthz.settings import load_settings

MADE: Final = {"store", "bundle_cache", "audit.path", "decisions.index", "keys"}
"""What a server makes if it is not there."""
ATTRIBUTES: Final = """
apiVersion: extauthz/v1
kind: WorkloadAttributes
metadata: {name: production}
spec: {workloads: {}}
"""
FOLDERS: Final = {"policies", "bundle_cache"}


def everything(planted: Planted) -> None:
    """Add every other setting that names a file."""
    folder = planted.folder
    config: dict[str, Any] = json.loads(planted.config.read_text())
    config["listen"]["tls"] = {
        "certificate": "server.pem",
        "key": "server.key",
        "callers": {"authorities": "ca.pem", "names": ["spiffe://prod.example.org/**"]},
    }
    (folder / "workloads.yaml").write_text(ATTRIBUTES)
    config["identity"]["workload"]["attributes"] = "workloads.yaml"
    (folder / "services.pb").write_bytes(descriptors())
    config["request"] = {"grpc": {"descriptors": "services.pb"}}
    shutil.copy(geoip.city(), folder / "city.mmdb")
    config["geo"] = {"city": "city.mmdb"}
    (folder / "tor.txt").write_text("192.0.2.1\n")
    config["addresses"] = {"tor": "tor.txt"}
    config["decisions"] = {"index": "decisions.db", "operators": {"groups": ["ops"]}}
    for one in (config["approvals"]["webhooks"][0], config["approvals"]["email"], config["events"]["webhooks"][0]):
        one["ca"] = "ca.pem"
    planted.config.write_text(json.dumps(config))


@dataclass(frozen=True)
class Case:
    """A file with a fault: what is done to it."""

    named: Named
    fault: str

    def __str__(self) -> str:
        return f"{self.named.setting}: {self.fault}"


@pytest.fixture
def planted() -> Iterator[Planted]:
    """A configuration in a folder that a user without rights can reach, and owns."""
    folder = Path(tempfile.mkdtemp(prefix="files-"))
    made = plant(folder)
    everything(made)
    assert refusal(made.config, made.environ) is None  # and all that is imported late was
    if os.geteuid() == 0:
        for one in (folder, *folder.rglob("*")):
            os.chown(one, NOBODY, NOBODY)
    yield made
    shutil.rmtree(folder)


def _missing(path: Path) -> None:
    path.unlink()


def _folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def _unreadable(path: Path) -> None:
    path.chmod(0)


def _pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _everybodys(path: Path) -> None:
    path.chmod(0o666)


FAULTS: Final[Mapping[str, Callable[[Path], None]]] = {
    "missing": _missing,
    "a folder": _folder,
    "unreadable": _unreadable,
    "a pipe": _pipe,
    "writable by everybody": _everybodys,
}


def cases(planted: Planted) -> Iterator[Case]:
    told = dict.fromkeys(one.path for one in named_files(load_settings(planted.config)))
    for named in named_files(load_settings(planted.config)):
        if named.path not in told:
            continue
        del told[named.path]
        for fault in FAULTS:
            if named.setting in FOLDERS or (named.setting in MADE and not named.path.exists()):
                continue
            if (fault, named.setting) != ("a pipe", "audit.path") and not (
                fault == "missing" and named.setting in MADE
            ):
                yield Case(named, fault)


def test_a_file_that_can_not_be_used_ends_a_start_with_a_line(planted: Planted) -> None:
    wrong = {}
    with as_nobody():
        assert refusal(planted.config, planted.environ) is None
        tried = list(cases(planted))
        for case in tried:
            path = case.named.path
            content, mode = path.read_bytes(), stat.S_IMODE(path.stat().st_mode)
            FAULTS[case.fault](path)
            try:
                # What listens reads its certificate last.
                said = refusal(planted.config, planted.environ, serve=case.named.setting.startswith("listen."))
            finally:
                path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
                path.write_bytes(content)
                path.chmod(mode)
            if said is None or "\n" in said or (path.name not in said and case.named.setting not in said):
                wrong[str(case)] = said
    assert {case.fault for case in tried} == FAULTS.keys()
    assert len({case.named.setting for case in tried}) > 15
    assert wrong == {}
