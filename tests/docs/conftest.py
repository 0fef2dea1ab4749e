"""The site of the documentation, built once for a file of tests as `make docs` builds it."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.conftest import browser, chromium
from playwright.sync_api import Browser, Page

__all__ = ["browser", "chromium"]

ROOT = Path(__file__).parents[2]
SITE = ROOT / "docs" / "site"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built pages, of which all workers of a run have one."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "site"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _install_mermaid()
            _build(folder)
    return folder


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Of a visitor who was never here, in the one browser of a file."""
    with browser.new_page() as opened:
        opened.set_default_timeout(20_000)
        yield opened


def _build(folder: Path) -> None:
    # Not `--quiet`: what MkDocs does not say it does not count, and `--strict` would find nothing.
    ended = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0 or ended.stdout:
        shutil.rmtree(folder, ignore_errors=True)
        pytest.fail(
            "`make docs` fails. A new page goes into `nav` in mkdocs.yml, and into the README's table:\n" + ended.stderr
        )


def _install_mermaid() -> None:
    if shutil.which("npm") is None:
        missing("the documentation needs npm, which brings what draws its diagrams")
    stamp = SITE / "node_modules" / ".package-lock.json"
    # Test runs beside this one may want to install, too.
    with (Path(tempfile.gettempdir()) / f"extauthz-docs-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = subprocess.run(["make", stamp.relative_to(ROOT)], cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        missing(f"npm can't install Mermaid: {ended.stderr.strip()}")


def missing(message: str) -> None:
    """Skip, or fail where everything has to be there."""
    if os.environ.get("REQUIRE_ALL"):
        pytest.fail(message)
    pytest.skip(message)
