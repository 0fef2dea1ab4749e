"""What parts read from programs, and the whole of it once, as small as it can be."""

import json
import os
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

import bench.__main__
from bench.__main__ import main
from bench.harness import h2load, pages, traffic
from bench.harness.figures import AtLeast, Report, ratio
from bench.harness.interpreter import interpreter, running
from bench.harness.neighbours import Neighbours, Watch
from bench.harness.proc import family, memory, processor_seconds
from bench.harness.servers import TRANSPORTS, Yard, check
from bench.harness.setting import Part
from bench.noop import framed
from bench.parts.instructions import NotCounted, parse_perf, parse_totals
from bench.parts.scripts import read_figures, read_missed
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse, OkHttpResponse
from extauthz.cli.quickstart.processes import Processes


def test_each_number_that_a_script_writes_is_a_figure() -> None:
    tree = {"a": {"us": 1.5, "ok": True}, "b": [{"name": "x", "n": 2}, {"n": 3}], "c": "text", "d": None}
    assert {one.name: one.value for one in read_figures(tree, ("s",))} == {
        "s, a, us": 1.5,
        "s, b, x, n": 2,
        "s, b, 1, n": 3,
    }


def test_what_a_script_missed_is_read_and_a_bad_end_is_never_silent() -> None:
    assert read_missed("table\nmissed: x: 3, not 2\nmissed: y\n", 1) == ["x: 3, not 2", "y"]
    assert read_missed("table\n", 0) == []
    assert read_missed("Traceback\nValueError: no\n", 1) == ["it ended with 1: ValueError: no"]


def test_counted_instructions_are_read() -> None:
    assert parse_totals("version: 1\nsummary: 100\nfn=(1)\ntotals: 52209000\n") == 52_209_000
    with pytest.raises(NotCounted):
        parse_totals("version: 1\n")
    assert parse_perf("4711,,instructions:u,1000,100.00,,\n") == 4711
    assert parse_perf("<not supported>,,instructions:u,0,100.00,,\n") is None
    assert parse_perf("perf: no permission\n") is None


def test_the_check_has_the_size_that_is_told_and_its_frame_says_so() -> None:
    request = traffic.request()
    assert 1_060 <= len(request) <= 1_080
    assert framed(request)[:5] == b"\0" + len(request).to_bytes(4, "big")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process holds")
def test_what_a_process_and_its_family_hold_and_use_is_told() -> None:
    assert os.getpid() in family(os.getppid())
    held = memory(os.getpid())
    assert 1 < held.private <= held.proportional <= held.resident < 10_000
    assert 1 < held.of_files < held.resident
    assert abs(processor_seconds(os.getpid()) - time.process_time()) < 0.5


@pytest.mark.long
def test_the_smallest_run_measures_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if missing := h2load.missing():
        pytest.fail(missing) if os.environ.get("REQUIRE_ALL") else pytest.skip(missing)
    assert main(["--tiny", "--only", "saturation", "--out", str(tmp_path)]) == 0
    written = json.loads((tmp_path / "bench.json").read_text())["parts"]["saturation"]
    assert not written["skipped"]
    assert written["figures"]["grpcio, capacity"]["value"] > 0
    assert (tmp_path / "saturation.png").read_bytes().startswith(b"\x89PNG")
    assert "grpcio, decided in time over capacity" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "optimised"),
    [
        ("'--prefix=/usr' '--enable-optimizations' '--with-lto'", True),
        ("'--prefix=/opt/--enable-optimizations' 'CFLAGS=-O3 -g'", False),
        ("", False),
    ],
)
def test_a_python_is_told_by_how_it_was_configured(arguments: str, optimised: bool) -> None:
    told = str(interpreter(arguments))
    assert told.startswith(f"CPython {platform.python_version()}, configured {'with' if optimised else 'without'} --en")
    assert ("20 %" in told) is not optimised


def test_a_run_tells_its_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # nothing is measured
    assert main(["--tiny", "--only", "throughput", "--out", str(tmp_path)]) == 0
    assert str(running())[:40] in capsys.readouterr().out
    assert json.loads((tmp_path / "bench.json").read_text())["machine"]["python"] == asdict(running())


def test_a_part_that_is_missing_fails_a_check_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    arguments = ["--tiny", "--only", "throughput", "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert "skipped: no h2load: install nghttp2-client" in capsys.readouterr().out
    assert main([*arguments, "--check"]) == 1


def test_where_real_time_is_not_allowed_it_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse, raising=False)
    assert main(["--tiny", "--only", "throughput", "--real-time"]) == 2
    assert "it takes root, or CAP_SYS_NICE" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who took the cores")
@pytest.mark.parametrize(("real_time", "verdict"), [(False, "unclear"), (True, "met")])
def test_ratios_are_judged_among_others_only_before_them(
    real_time: bool,
    verdict: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    figure = ratio("r", [1.0], [1.0], target=AtLeast(value=0.9))
    part = Part(
        name="throughput", title="T", targets=(), measure=lambda _: Report(part="p", title="T", figures=(figure,))
    )
    monkeypatch.setattr(bench.__main__, "PARTS", (part,))
    monkeypatch.setattr(bench.__main__, "go_first", lambda: None)
    monkeypatch.setattr(Watch, "end", lambda _: Neighbours(others=0.21, stolen=0.0))
    arguments = ["--tiny", "--check", "--out", str(tmp_path), *(["--real-time"] if real_time else [])]
    assert main(arguments) == (0 if real_time else 1)
    written = json.loads((tmp_path / "bench.json").read_text())
    assert written["real_time"] is real_time
    assert written["parts"]["p"]["figures"]["r"]["verdict"] == verdict
    assert written["parts"]["p"]["neighbours"] == {"others": 0.21, "stolen": 0.0}
    said = capsys.readouterr().out
    assert "others on this machine took 21%" in said
    assert ("--real-time goes before them" in said) is not real_time


@pytest.mark.parametrize("arguments", [["--only", "nothing"], ["--peer", "opa"], ["--compare", "/nowhere"]])
def test_a_word_that_means_nothing_is_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().out.startswith(arguments[0])


def test_a_server_without_a_decision_gives_the_answer_that_it_is_told(tmp_path: Path) -> None:
    told = CheckResponse(ok_response=OkHttpResponse(headers_to_remove=["x-told"])).SerializeToString()
    with Processes() as processes:
        yard = Yard(processes=processes, folder=tmp_path, core=None)
        of_old, of_told = yard.start_noop(TRANSPORTS[0]), yard.start_noop(TRANSPORTS[0], kind="told", answer=told)
        assert CheckResponse.FromString(check(of_old.address)).ok_response == OkHttpResponse()
        assert check(of_told.address) == told
        assert [of_old.name, of_told.name] == ["grpcio no-op", "grpcio told"]


def test_a_file_whose_pages_are_let_go_of_is_whole_and_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "audit"
    pages.reuse(file)
    assert not file.exists()
    with file.open("ab", buffering=0) as writing:
        writing.write(b"-" * 100_000)
        pages.reuse(file)
        writing.write(b"+")
    assert file.read_bytes() == b"-" * 100_000 + b"+"
