"""The Dockerfile: what a linter can see, what is sent and installed, and its steps, carried out as they are written."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest
from deploy.dockerfiles import Builder, apt_packages, of_exec_form
from deploy.images import ARGUMENTS, BY_NAME, DOCKERFILE, STAGES, packages_of_the_tests, wheel_stage
from deploy.namespaces import command_in, require_namespaces
from deploy.pods import Pod
from deploy.tools import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import hatch_build
from extauthz import __version__
from extauthz.app.compiled import LIBRARY

LOCKS = {path.name: path.read_text() for path in (ROOT / "deploy" / "docker").glob("*.lock")}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONFIGURATION = """
listen: {grpc: "0.0.0.0:9191", web: "0.0.0.0:9192", admin: "0.0.0.0:9193"}
policies: [policies/]
store: sqlite:////var/lib/extauthz/extauthz.db
keys: /var/lib/extauthz/keys.json
bundle_cache: /var/lib/extauthz/bundles
logs: {format: json}
"""
POLICY = "{apiVersion: extauthz/v1, kind: Policy, metadata: {name: a}, spec: {rules: [{name: b, effect: allow}]}}"
pytestmark = pytest.mark.timeout(1_200)  # to compile takes a minute or two of a processor


def pins(lock: str) -> dict[str, str]:
    """The version of each package of a lock."""
    found = re.findall(r"^([\w.-]+)(?:\[.*?])?==([\w.]+)", lock, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def hashes(lock: str) -> dict[str, set[str]]:
    """The hashes of each package of a lock."""
    found: dict[str, set[str]] = {}
    name = ""
    for line in lock.splitlines():
        if match := re.match(r"([\w.-]+)(?:\[.*?])?==", line):
            name = canonicalize_name(match[1])
        found.setdefault(name, set()).update(re.findall(r"--hash=(sha256:[0-9a-f]{64})", line))
    return found


def test_the_linter_finds_nothing() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    if not hadolint.exists():
        pytest.skip("no `hadolint` for this platform")
    linted = subprocess.run([hadolint, "--no-color", DOCKERFILE], check=False, capture_output=True, text=True)
    assert (linted.returncode, linted.stdout) == (0, "")


def test_images_are_of_one_version_and_other_stages_are_there() -> None:
    (image,) = ARGUMENTS.values()
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", image)
    known: set[str] = set()
    for stage in STAGES:
        assert stage.base == "${PYTHON_IMAGE}" or stage.base in known
        for text in stage.all("COPY"):
            assert set(re.findall(r"--from=(\S+)", text)) <= known
        known.add(stage.name)


def test_the_images_that_are_kept_have_no_tools_of_the_build() -> None:
    """They begin with a base image of their own, not with a stage in which something was built."""
    assert STAGES[-1].name == "grpcio"
    for name in ("grpcio", "pyvoy"):
        assert BY_NAME[name].base == "runtime"
    assert BY_NAME["runtime"].base == "${PYTHON_IMAGE}"


def test_the_server_is_nobody_and_is_ended_by_the_signal_that_it_knows() -> None:
    runtime = BY_NAME["runtime"]
    assert runtime.all("USER") == ["65532:65532"]
    assert runtime.all("STOPSIGNAL") == ["SIGTERM"]
    assert not any("USER" in dict(BY_NAME[name].instructions) for name in ("grpcio", "pyvoy"))
    assert of_exec_form(runtime.all("ENTRYPOINT")[0]) == ["extauthz"]
    assert runtime.all("HEALTHCHECK")[0].endswith('CMD ["extauthz", "health"]')
    assert runtime.all("VOLUME") == ["/var/lib/extauthz"]


def test_labels_say_what_it_is() -> None:
    (label,) = BY_NAME["runtime"].all("LABEL")
    names = set(re.findall(r"org\.opencontainers\.image\.([\w.]+)=", label))
    assert names == {"title", "description", "licenses", "version", "revision", "base.name"}
    assert f"VERSION={__version__}" in BY_NAME["runtime"].all("ARG")
    assert f'licenses="{PROJECT["project"]["license"]}"' in label


def test_what_is_copied_is_sent_and_nothing_else() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for stage in STAGES
        for text in stage.all("COPY")
        if not text.startswith("--from")
        for source in text.split()[:-1]
    }
    assert copied == sent
    assert all((ROOT / source).exists() for source in copied)
    assert {PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]} <= copied


def test_every_package_is_installed_by_its_hash_or_is_ours() -> None:
    installs = [step for stage in STAGES for text in stage.all("RUN") for step in text.split(" && ") if "/pip " in step]
    ours = [step for step in installs if "--no-index --no-deps /wheel/*.whl" in step]
    locked = [step for step in installs if "--require-hashes --only-binary :all: --requirement" in step]
    assert len(ours) == 2
    assert {step.rpartition(" ")[2] for step in locked} == set(LOCKS)
    assert len(installs) == len(ours) + len(locked)


@pytest.mark.parametrize("name", LOCKS)
def test_locks_name_each_package_with_its_hashes_and_no_index(name: str) -> None:
    assert "index-url" not in LOCKS[name]
    assert all(hashes(LOCKS[name])[package] for package in pins(LOCKS[name]))


@pytest.mark.parametrize(("name", "extras"), [("grpcio.lock", ["spiffe"]), ("pyvoy.lock", ["spiffe", "pyvoy"])])
def test_what_runs_is_what_is_tested(name: str, extras: list[str]) -> None:
    """The versions and hashes are those of requirements.lock, and what the project asks for is there."""
    tested = (ROOT / "requirements.lock").read_text()
    assert pins(LOCKS[name]).items() <= pins(tested).items(), "run `make image-lock`"
    for package, found in hashes(LOCKS[name]).items():
        assert found <= hashes(tested)[package]
    asked = PROJECT["project"]["dependencies"] + [
        one for extra in extras for one in PROJECT["project"]["optional-dependencies"][extra]
    ]
    for text in asked:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins(LOCKS[name])[canonicalize_name(requirement.name)])


def test_what_builds_is_what_the_project_says() -> None:
    asked = (ROOT / "deploy" / "docker" / "build.in").read_text().split()
    assert asked == PROJECT["build-system"]["requires"]
    for requirement in map(Requirement, asked):
        assert requirement.specifier.contains(pins(LOCKS["build.lock"])[requirement.name])
    tested = pins((ROOT / "requirements.lock").read_text())
    assert pins(LOCKS["build.lock"]).items() <= tested.items(), "run `make image-lock`"


def test_a_compiler_is_where_the_wheel_is_built_and_nowhere_else() -> None:
    """Recommended packages are not installed: a compiler without libc6-dev finds no header."""
    asked = {
        stage.name: {name for text in stage.all("RUN") for step in text.split(" && ") for name in apt_packages(step)}
        for stage in STAGES
    }
    assert {name: packages for name, packages in asked.items() if packages} == {"wheel": {"gcc", "libc6-dev"}}
    assert not [stage.name for stage in STAGES if stage.base == "wheel"]


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """The steps are carried out as they are written, but for the packages of others, which are those of the tests, and
    those of the system.

    `make image-steps` installs those of others, too, from the package index: that takes minutes.
    """
    require_namespaces()
    folder = tmp_path_factory.mktemp("image")
    folder.chmod(0o755)
    return Builder(BY_NAME, folder, packages_of_the_tests(), wheel_stage(tmp_path_factory))


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    (tmp_path / "etc" / "policies").mkdir(parents=True)
    (tmp_path / "etc" / "extauthz.yaml").write_text(CONFIGURATION)
    (tmp_path / "etc" / "policies" / "site.yaml").write_text(POLICY)
    return tmp_path / "etc"


@pytest.fixture
def container(request: pytest.FixtureRequest, builder: Builder, configuration: Path, tmp_path: Path) -> Iterator[Pod]:
    """A container of the stage that is the test's parameter, as `docker run --read-only` runs it."""
    name: str = request.param
    root = builder.build(name)
    builder.build("runtime")
    user, group = builder.said(name, "USER").split(":")
    words = [*of_exec_form(builder.said(name, "ENTRYPOINT")), *of_exec_form(builder.said(name, "CMD"))]
    binds = [
        *(f"ro {root}/opt /opt", f"rw {root}/var/lib /var/lib", f"rw {tmp_path / 'tmp'} /tmp"),
        f"ro {configuration} /etc/extauthz",
    ]
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    (tmp_path / "run").mkdir()
    environment = {**builder.environment(name), "PATH": "/opt/extauthz/bin:/usr/bin:/bin"}
    assert builder.environment(name)["PATH"] == "/opt/extauthz/bin:$PATH"
    process = subprocess.Popen(
        command_in(
            tmp_path / "run",
            binds,
            words,
            restrictions=[
                f"--reuid={user}",
                f"--regid={group}",
                "--clear-groups",
                "--bounding-set=-all",
                "--no-new-privs",
            ],
            at=builder.workdir(name),
            installed=bool(builder.install),
        ),
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    yield Pod(process, tmp_path)
    process.kill()
    process.communicate()


@pytest.mark.long
@pytest.mark.parametrize(
    "container", ["grpcio", "pyvoy"] if os.environ.get("IMAGE_STEPS") else ["grpcio"], indirect=True
)
def test_the_steps_make_an_image_whose_server_serves(container: Pod, builder: Builder) -> None:
    said = container.next_event("serving")
    assert said["grpc"] == "0.0.0.0:9191"
    (check,) = BY_NAME["runtime"].all("HEALTHCHECK")
    words = of_exec_form(check.partition("CMD ")[2])
    inside = ["nsenter", "--net", "--mount", "--root", "--wd", f"--target={container.process.pid}", "--"]
    environment = {**builder.environment("grpcio"), "PATH": "/opt/extauthz/bin:/usr/bin:/bin"}
    asked = subprocess.run([*inside, *words], check=False, capture_output=True, text=True, env=environment)
    assert (asked.returncode, asked.stdout) == (0, "127.0.0.1:9191: SERVING\n"), asked.stderr
    told = subprocess.run(
        [*inside, "extauthz", "--version"], check=True, capture_output=True, text=True, env=environment
    )
    assert told.stdout == f"extauthz {__version__} (revision 0123456789ab, compiled)\n"
    assert container.stop() == 0


@pytest.mark.long
def test_without_a_compiler_there_is_no_image(builder: Builder, tmp_path: Path) -> None:
    """Not one that decides more slowly, which nobody would notice."""
    tools = {"tools": builder.built["tools"]}
    with pytest.raises(AssertionError) as failed:
        Builder(BY_NAME, tmp_path, builder.install, tools, {"CC": "no-such-cc"}).build("wheel")
    assert "EXTAUTHZ_COMPILED says that it must be: there is no `no-such-cc`; install" in str(failed.value)
    assert not list((tmp_path / "wheel" / "wheel").iterdir())


@pytest.mark.long
def test_what_is_installed_is_compiled(builder: Builder) -> None:
    (installed,) = (builder.build("grpcio") / "opt" / "extauthz" / "lib").glob("python3.*/site-packages")
    compiled = {str(path.relative_to(installed)).partition(".")[0] for path in installed.rglob("*.so")}
    modules = {name.removesuffix(".py") for name in hatch_build.compiled_modules(ROOT)}
    assert {name for name in compiled if name.startswith("extauthz")} == modules | {LIBRARY}


@pytest.mark.long
def test_there_is_no_pip_in_what_is_installed(builder: Builder) -> None:
    made = builder.build("grpcio") / "opt" / "extauthz" / "bin"
    assert (made / "extauthz").exists()
    assert not list(made.glob("pip*"))
    assert shutil.which("extauthz", path=str(made))


@pytest.mark.long
def test_a_scanner_finds_what_is_installed_by_its_metadata(builder: Builder) -> None:
    """Ours by its name, version and licence; in `make image-steps`, which installs them, those of others, too."""
    (installed,) = (builder.build("grpcio") / "opt" / "extauthz" / "lib").glob("python3.*/site-packages")
    found = {canonicalize_name(one.name): one for one in distributions(path=[str(installed)])}
    ours = found.pop(canonicalize_name("extauthz"))
    assert (ours.version, ours.metadata["License-Expression"]) == (__version__, PROJECT["project"]["license"])
    asked = {Requirement(text).name for text in PROJECT["project"]["dependencies"]}
    assert asked <= {Requirement(text).name for text in ours.requires or ()}
    pinned = pins(LOCKS["grpcio.lock"])
    assert {name: one.version for name, one in found.items()}.items() <= pinned.items()
    assert ({canonicalize_name(name) for name in asked} <= found.keys()) is not bool(builder.install)
