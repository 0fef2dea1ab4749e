"""Every command line of ours in a fenced block of a page is run, and ends well.

Pages that show what commands print are walked by other tests, in folders of their own. Here are all others, tried on
one deployment; what stands in brackets is left out and put in, and what a reader has to fill in is filled in.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

import pyotp
import pytest
from commanding import command
from docs.conftest import ROOT, missing
from docs.snippets import blocks
from docs.trials import DEVICE, POLICY, WHO, Trial, tried
from e2e.stage import HOST

from extauthz.cli.interrupts import INTERRUPTED
from extauthz.cli.quickstart.envoy import find_envoy
from extauthz.errors import ConfigurationError

EXECUTABLE: Final = Path(sys.executable).parent / "extauthz"
WALKED: Final = {
    "docs/start.md": "tutorial/test_walks.py",
    "docs/spa.md": "tutorial/test_walks.py",
    "docs/tutorials/agents.md": "tutorial/test_walks.py",
    "docs/tutorials/ci.md": "tutorial/test_walks.py",
    "docs/tutorial.md": "tutorial/test_tutorial.py",
    "docs/examples/large-refund/README.md": "examples/test_approval_walk.py",
    "docs/kubernetes.md": "deploy/test_documents.py",
}
"""Pages whose commands are run by a test of their own; so are blocks of `console` on two more pages."""
WALKED_CONSOLES: Final = {
    "docs/envoy.md": "envoy_config/test_page.py",
    "docs/operations.md": "explain/test_why_denied.py",
}
ELSEWHERE: Final = {
    "extauthz envoy validate --listener virtualInbound listeners.json": "mesh/test_translation.py",
    "extauthz envoy config gateway --config deploy/compose/extauthz/extauthz.yaml": "deploy/test_compose.py",
    "extauthz policy test policies/": "examples/test_examples.py",
    "extauthz policy check --strict --config extauthz.yaml": "examples/test_examples.py",
    "extauthz envoy config gateway --config extauthz.yaml": "tutorial/test_readme.py",
    "envoy -c gateway.yaml": "tutorial/test_readme.py",
    "curl --include --cacert trial/ca.pem": "tutorial/test_readme.py",
    'echo "REDIS_PASSWORD=': "deploy/test_documents.py",
    "curl --include http://127.0.0.1:8080/": "deploy/test_documents.py",
    "extauthz grants list|revoke": "commands/test_grant_commands.py",
}
"""Beginnings of lines, and the test that runs them: with a mesh, a container, or in a folder that is theirs."""


RUNNABLE: Final = re.compile(r"(?:\$ )?(?:\w+=\S+ )*(?:extauthz|curl|openssl) [a-z-]")
"""What a block begins a line with that is to be run, all of it."""
AWAY: Final = ("docker ", "kubectl ", "helm ", "istioctl ", "pip ", "cd ", "export ")
"""What is not here, and what only prepares for it; `export`s of the pages are in the environment."""


class Line(NamedTuple):
    """A command line, as the page has it."""

    place: str
    text: str


def lines() -> Iterator[Line]:
    for block in blocks("", "console", "bash", "sh"):
        page = block.place.partition(":")[0]
        if page in WALKED or (page in WALKED_CONSOLES and block.language == "console"):
            continue
        joined = re.sub(r"\\\n *", "", block.text).splitlines()
        if any(RUNNABLE.match(line) for line in joined):
            for number, line in enumerate(joined, block.line + 1):
                text = re.split(r" {3,}| +# ", line.removeprefix("$ "))[0].strip()
                if not text.startswith((*AWAY, *ELSEWHERE)):
                    yield Line(f"{page}:{number}", text)


LINES: Final = list(lines())
SERVING: Final = sorted({one.text for one in LINES if re.search(r"extauthz serve\b", one.text)})
WATCHING: Final = "extauthz approvals watch --format json"
RUN: Final = [one for one in LINES if one.text not in {*SERVING, WATCHING}]
PAGES: Final = sorted({one.place.partition(":")[0] for one in RUN})


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    try:
        find_envoy()
    except ConfigurationError as error:
        missing(str(error))
    with tried(tmp_path_factory.mktemp("files")) as trial:
        folder = trial.folder
        (folder / "new").symlink_to("policies")
        gateway = ("gateway", "--config", "extauthz.yaml", "--certificate", "server.pem", "--key", "server.key")
        (folder / "gateway.yaml").write_text(trial.says("envoy", "config", *gateway, "--ca", "ca.pem"))
        yield trial


def code(trial: Trial, said: str) -> str:
    """Of the app whose secret was printed, else of a new one."""
    secrets = re.findall(r"[?&]secret=(\w+)", said)
    if secrets:
        return pyotp.TOTP(secrets[-1]).now()
    trial.says("factors", "reset", WHO)
    return trial.running.enroll(WHO).now()


def to_envoy(trial: Trial, _: str) -> str:
    port = trial.running.admin.port("https")
    return f"--cacert ca.pem --connect-to {HOST}:443:127.0.0.1:{port} https://{HOST}"


SIMPLER: Final[Mapping[str, Mapping[str, str]]] = {
    "docs/approvers.md": {"server.": "approvals."},  # Envoy's are there already
    # What `--follow` does goes on and on: tests/commands/test_audit_tail.py.
    "docs/audit.md": {"[FILE]": "audit.jsonl", "[--follow] ": "", " … ": " "},
    "docs/envoy.md": {" [OPTION...]": ""},
    "docs/stepup.md": {"[FILE]": "other-keys.json", "alice": WHO},
}
"""By page: what is written in the place of what may be left out, or be more than one thing."""
FILLED: Final[Mapping[str, Mapping[str, Callable[[Trial, str], str]]]] = {
    "docs/approvals-api.md": {
        "https://approvals.example.com": lambda trial, _: f"http://{trial.listen}",
        "4f…": lambda trial, _: trial.approval(),
    },
    "docs/audit.md": {"0b1f…": lambda trial, _: trial.decision()},
    "docs/doctor.md": {
        "http://127.0.0.1:9901": lambda trial, _: f"unix:{trial.folder / 'admin.sock'}",
        "https://127.0.0.1:8443": lambda trial, _: trial.running.url(),
    },
    "docs/envoy-validate.md": {
        "FILE...": lambda *_: "gateway.yaml",
        "NAME": lambda *_: "https",
        "PATH": lambda *_: str(find_envoy()),
        "/run/envoy/admin.sock": lambda trial, _: str(trial.folder / "admin.sock"),
    },
    "docs/habits.md": {"5f3a…": lambda *_: DEVICE},
    "docs/linting.md": {"PATH...": lambda *_: "policies/ new/"},
    "docs/signals.md": {"http://127.0.0.1:9193": lambda *_: "--unix-socket probes.sock http://localhost"},
    "docs/stepup.md": {
        "URL": lambda *_: "https://app.example.com",
        "https://payments.example.com": to_envoy,
        "123456": code,
    },
    "docs/webhooks.md": {"ID…": lambda trial, _: trial.letter()},
}
"""By page: what a reader fills in, also from what the line before has printed."""


def variants(text: str) -> list[str]:
    """The line without what may be left out, and with all of it; each once for every word that there is to choose."""
    plain = re.sub(r" ?\[[^\]]*\]", "", text)
    whole = re.sub(r"\[([^\]]*)\]", r"\1", text)
    return list(dict.fromkeys(chain(_chosen(plain), _chosen(whole))))


def _chosen(text: str) -> list[str]:
    choices = re.findall(r"(?<= )[\w-]+(?:\|[\w-]+)+", text)
    longest = max((choice.count("|") + 1 for choice in choices), default=1)

    def choose(number: int) -> str:
        chosen = text
        for choice in choices:
            words = choice.split("|")
            chosen = chosen.replace(choice, words[min(number, len(words) - 1)])
        return chosen

    return [choose(number) for number in range(longest)]


def ran(trial: Trial, text: str) -> str:
    """What a line prints, which must end well."""
    found = re.fullmatch(r"extauthz ([^|$]*?)(?: > (\S+))?", text)
    if found is None:
        done = trial.shell(text.replace("extauthz ", f"{EXECUTABLE} ", 1))
        assert done.returncode == 0, done.stderr
        return done.stdout
    words = [
        name
        for word in shlex.split(found[1])
        for name in (sorted(path.name for path in trial.folder.glob(word)) if "*" in word else [word])
    ]
    ended = command(*words, folder=trial.folder, environ={**_variables(), **trial.environment})
    assert ended.returncode == 0, f"{text}\n{ended.stdout}{ended.stderr}"
    if found[2] is not None:
        (trial.folder / found[2]).write_text(ended.stdout)
    return ended.stdout


def _variables() -> dict[str, str]:
    """Ours, but for those that would be taken for what a page's reader has set."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("EXTAUTHZ_", "APPROVALS_"))}


def test_what_is_run_elsewhere_is_on_a_page_and_its_test_is_there() -> None:
    tests = {*WALKED.values(), *WALKED_CONSOLES.values(), *ELSEWHERE.values()}
    assert [one for one in sorted(tests) if not (ROOT / "tests" / one).exists()] == []
    text = "".join(re.sub(r"\\\n *", "", block.text) for block in blocks("", "console", "bash", "sh"))
    assert [one for one in ELSEWHERE if one not in text] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_ends_well(trial: Trial, page: str) -> None:
    said = ""
    for line in (one for one in RUN if one.place.startswith(f"{page}:")):
        simple = line.text
        for wide, narrow in SIMPLER.get(page, {}).items():
            simple = simple.replace(wide, narrow)
        for text in variants(simple):
            for blank, fill in FILLED.get(page, {}).items():
                if blank in text:
                    text = text.replace(blank, fill(trial, said))
            if text.startswith("extauthz factors enroll") and "--confirm" not in text:
                trial.says("factors", "reset", WHO)  # each is another way to begin
            said = ran(trial, text)


def test_what_is_watched_is_told_until_it_is_enough(trial: Trial) -> None:
    (line,) = (one for one in LINES if one.text == WATCHING)
    with subprocess.Popen(
        [EXECUTABLE, *line.text.split()[1:]], cwd=trial.folder, stdout=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["status"] == "pending"
        watching.send_signal(signal.SIGINT)
    assert watching.returncode in (0, INTERRUPTED)


@pytest.mark.parametrize("text", SERVING)
def test_a_server_that_a_page_starts_serves(tmp_path: Path, text: str) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "site.yaml").write_text(POLICY)
    (tmp_path / "extauthz.yaml").write_text("policies: [policies/]\n")
    variables, _, words = text.rpartition("extauthz ")
    listen = {f"EXTAUTHZ_LISTEN__{name}": f"unix:{tmp_path / name}.sock" for name in ("GRPC", "WEB", "ADMIN")}
    environ = {**_variables(), **listen, **dict(one.split("=", 1) for one in variables.split())}
    with subprocess.Popen(
        [EXECUTABLE, *words.split()], cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environ
    ) as serving:
        assert serving.stderr is not None
        heard = [json.loads(next(serving.stderr))]
        while heard[-1]["event"] != "serving":
            heard.append(json.loads(next(serving.stderr)))
        serving.terminate()
    assert serving.returncode == 0
