"""A real server tells the store how far its audit has come, and `audit verify --head` finds what was cut off since."""

import signal
from pathlib import Path

import pytest
from commanding import Ended, command
from patience import GENEROUS, comes
from serving import CONFIG, Serve

from extauthz.cli.state import with_store
from extauthz.settings import Settings
from extauthz.store.audit_heads import AuditHead
from extauthz.store.protocol import Store


@pytest.fixture
def folder(folder: Path) -> Path:
    """With a store that outlives the server."""
    text = "".join(line for line in CONFIG.splitlines(keepends=True) if not line.startswith("store:"))
    (folder / "extauthz.yaml").write_text(f"{text}audit: {{path: audit.jsonl}}\nstore: sqlite:///state.db\n")
    return folder


def heads(folder: Path) -> tuple[AuditHead, ...]:
    async def known(_: Settings, store: Store) -> tuple[AuditHead, ...]:
        return await store.audit_heads(now=0)

    return with_store(folder / "extauthz.yaml", known)


def verify(folder: Path, *options: str) -> Ended:
    return command("audit", "verify", "--config", "extauthz.yaml", *options, folder=folder)


def count(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_what_a_server_has_written_is_proven_to_its_end(serve: Serve, folder: Path) -> None:
    served, path = serve(), folder / "audit.jsonl"
    assert served.allows("/one")
    assert comes(lambda: [head.seq for head in heads(folder)] == [count(path)] and count(path) >= 2)
    running = verify(folder, "--head")
    assert (running.returncode, "it still runs" in running.stderr) == (0, True)
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(GENEROUS) == 0
    (head,) = heads(folder)
    assert (head.seq, head.file) == (count(path), str(path.absolute()))
    ended = verify(folder, "--head")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "all as it was written" in ended.stdout


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_tail_that_is_cut_off_is_found_by_the_head_alone(serve: Serve, folder: Path, kept: int) -> None:
    served, path = serve(), folder / "audit.jsonl"
    for _ in range(5):
        assert served.allows("/one")
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(GENEROUS) == 0
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:kept]))
    (folder / "audit-20260101T000000Z-1.jsonl").write_bytes(lines[0]) if not kept else None
    found = verify(folder, "--head")
    assert found.returncode == 1
    place = "audit.jsonl" if kept else "audit-20260101T000000Z-1.jsonl"
    assert f"{place}:{max(kept, 1)}: cut: " in found.stdout
    assert f"the store knows of line {len(lines)}" in found.stdout
    assert verify(folder).returncode == 0


def test_a_kill_leaves_what_is_proven_and_a_vanished_file_is_found(serve: Serve, folder: Path) -> None:
    served, path = serve(), folder / "audit.jsonl"
    for _ in range(20):
        assert served.allows("/one")
    assert comes(lambda: len(heads(folder)) == 1)
    served.process.kill()
    served.process.wait(GENEROUS)
    found = verify(folder, "--head")
    assert found.returncode == 0, found.stdout
    again = serve()
    assert again.allows("/one")
    assert comes(lambda: len(heads(folder)) == 2)
    first = heads(folder)[0].writer
    kept = [line for line in path.read_bytes().splitlines(keepends=True) if first.encode() not in line]
    path.write_bytes(b"".join(kept))
    vanished = verify(folder, "--head")
    assert vanished.returncode == 1
    assert f"vanished: all lines of writer {first} are missing" in vanished.stdout
