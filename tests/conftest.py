"""What holds for all tests.

Tests end commands by Ctrl-C. A shell lets what it runs in the background ignore SIGINT, and children inherit that. No
test asserts how long anything takes, and so no example of a property has a deadline.

Files whose tests start servers and browsers are run first. Some take a minute, and at the end, when no other file is
left, a worker with one of them would keep all others waiting.

What is imported and collected stays until the end: it is not searched for garbage. That would be a tenth of the time.

What was compiled of other sources than those that are there is not tested: Python would take it all the same.
"""

import gc
import os
import signal
from pathlib import Path

import pytest
import structlog
from hypothesis import settings
from serving import TRANSPORTS

import hatch_build

gc.disable()  # until everything is collected
signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("extauthz", deadline=None)
settings.load_profile("extauthz")
# As the server logs: without the values of variables. To draw them takes a second for each exception that is logged.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)

TESTS = Path(__file__).parent
ROOT = TESTS.parent
if not hatch_build.is_up_to_date(ROOT):
    pytest.exit("what is compiled is not of these sources: run `make install`", returncode=4)
WAITING = (
    "e2e_approvals",
    "doctor",
    "app",
    "quickstart",
    "transport",
    "upgrade",
    "hardening",
    "e2e",
    "envoy_validate",
    "deploy",
    "compiled",
    "signals",
    "tutorial",
    "docs",
    "bundles",
    "events",
    "approvers",
    "examples",
    "approval_api",
    "web",
    "telling",
    "store",
    "oidc",
    "metrics",
    "lint",
    "policy",
    "bench",
    "lookup",
    "decisions",
    "replay",
    "fuzz",
    "audit",
    "explain",
)
"""The folders with the longest files, in the order in which they are begun."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Longest first; what is alike stays in the order of its names."""
    items.sort(key=_rank)


def pytest_collection_finish() -> None:
    """From here on garbage is that of tests alone, and looked for when there is some."""
    gc.freeze()
    gc.set_threshold(10_000)
    gc.enable()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: pytest.ExitCode, config: pytest.Config
) -> None:
    """Say why there was no test: where several processes look for them none of them does."""
    if exitstatus != pytest.ExitCode.NO_TESTS_COLLECTED:
        return
    asked: list[str] = config.option.file_or_dir
    missing = [name for name in asked if not Path(name.partition("::")[0]).exists()]
    options = [f"{flag} {value}" for flag in ("-k", "-m") if (value := config.getoption(flag))]
    why = f"there is no file or folder `{missing[0]}`" if missing else f"`{' '.join([*asked, *options])}` names none"
    terminalreporter.write_line(f"no test was found: {why}; name a file, a folder or, after `-k`, a part of a name")


def _rank(item: pytest.Item) -> int:
    folder = item.path.relative_to(TESTS).parts[0]
    return WAITING.index(folder) if folder in WAITING else len(WAITING)


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    """What carries Checks to a server: what holds for one holds for the other."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of pages are written: the folder that SCREENSHOTS names, else a temporary one."""
    named = os.environ.get("SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
