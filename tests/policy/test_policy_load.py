"""From files and folders to a policy set: what is read, in which order, and what is told."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from policy.making import Document, compiled, document, evaluate, rule

from extauthz.policy import load as loading
from extauthz.policy.load import load
from extauthz.policy.problems import PolicyErrors, Problem
from extauthz.policy.yaml_source import MAX_CHARACTERS
from extauthz.values.decisions import Allow

ALLOW = "apiVersion: extauthz/v1\nkind: Policy\nmetadata: {name: NAME}\nspec: {rules: [{name: a, effect: allow}]}\n"


def write(folder: Path, name: str, policy: str | None = None) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(ALLOW.replace("NAME", policy or file.stem))
    return file


def told(paths: list[Path]) -> list[str]:
    with pytest.raises(PolicyErrors) as caught:
        load(paths)
    return [str(problem) for problem in caught.value.problems]


def test_folders_are_read_recursively_and_hidden_names_skipped(tmp_path: Path) -> None:
    write(tmp_path, "b/c/deep.yaml")
    write(tmp_path, "a.yml")
    write(tmp_path, ".hidden.yaml")
    write(tmp_path, "..2026_11_21/a.yaml")
    (tmp_path / "notes.txt").write_text("not: [yaml")
    assert [one.name for one in load([tmp_path]).rules] == ["a/a", "deep/a"]


def test_a_configmap_s_links_are_read_once(tmp_path: Path) -> None:
    write(tmp_path, "..2026/a.yaml")
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    assert [one.name for one in load([tmp_path]).rules] == ["a/a"]


def test_a_file_named_itself_may_have_any_name(tmp_path: Path) -> None:
    assert load([write(tmp_path, "policy.conf", "p")]).rules


def test_what_can_not_be_read_is_told(tmp_path: Path) -> None:
    assert told([tmp_path / "nothing"]) == [f"{tmp_path / 'nothing'}: can't be read: no such file or directory"]
    assert told([tmp_path]) == [f"{tmp_path}: no policies found; a file ends in `.yaml` or `.yml`"]
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (problem,) = told([tmp_path])
    assert problem == f"{tmp_path / 'loop.yaml'}: a loop of symbolic links; remove the link"


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n---\n"])
def test_a_file_without_a_policy_is_told_as_one(text: str, tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text(text)
    for path in (tmp_path / "empty.yaml", tmp_path):
        assert told([path]) == [f"{path}: no policies found; a policy is a document with `kind: Policy`"]


def test_a_folder_that_leads_back_to_itself_is_told(tmp_path: Path) -> None:
    write(tmp_path, "a/a.yaml")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    assert told([tmp_path]) == [f"{tmp_path / 'a' / 'again'}: leads back to a folder above it; remove the link"]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    assert told([tmp_path]) == [f"{tmp_path / 'pipe.yaml'}: neither a file nor a folder; remove it"]


def test_what_took_the_place_of_a_file_since_it_was_found_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(paths: Sequence[Path]) -> Iterator[Path | Problem]:
        for file in list(looked(paths)):
            assert isinstance(file, Path)
            file.unlink()
            os.mkfifo(file)
            yield file

    looked = loading._files
    monkeypatch.setattr(loading, "_files", found)
    file = write(tmp_path, "a.yaml")
    assert told([tmp_path]) == [f"{file}: can't be read: not a regular file"]


def test_a_device_in_the_place_of_a_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_files", lambda _: iter([Path("/dev/zero")]))
    assert told([tmp_path]) == ["/dev/zero: can't be read: not a regular file"]


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "huge.yaml"
    file.write_bytes(b"#" * (MAX_CHARACTERS + 1))
    assert told([file]) == [f"{file}: longer than {MAX_CHARACTERS} bytes; split it"]


def test_problems_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: ]")
    (tmp_path / "b.yaml").write_text(ALLOW.replace("allow", "alow"))
    write(tmp_path, "c.yaml")
    (tmp_path / "d.yaml").write_bytes(b"\xff")
    places = [problem.split(": ")[0] for problem in told([tmp_path])]
    assert places == [f"{tmp_path}/a.yaml:1:7", f"{tmp_path}/b.yaml:4:34", f"{tmp_path}/d.yaml:1:1"]


def test_tests_beside_policies_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml")
    (tmp_path / "a_test.yaml").write_text("apiVersion: extauthz/v1\nkind: PolicyTest\nanything: at all\n")
    assert [one.name for one in load([tmp_path]).rules] == ["a/a"]


def test_one_policy_name_in_two_files_is_refused(tmp_path: Path) -> None:
    first, second = write(tmp_path, "a.yaml", "p"), write(tmp_path, "b.yaml", "p")
    assert told([tmp_path]) == [f"{second}:3:18: the policy `p` exists already; see {first}:3"]


def test_a_loaded_set_decides(tmp_path: Path) -> None:
    assert isinstance(evaluate(load([write(tmp_path, "a.yaml")])).decision, Allow)


def revision(*documents: Document) -> str:
    return compiled(*documents).revision


def test_the_revision_is_that_of_what_the_documents_say() -> None:
    first, second = document("p", rule("a", "allow"), rule("b", "deny")), document("q", rule("a", "allow"))
    same = document("p", rule("b", "deny", mode="enforce"), rule("a", "allow", tcp=False))
    other = document("p", rule("a", "allow"), rule("b", "deny", when="true"))
    assert revision(first, second) == revision(second, same)
    assert revision(first, second) != revision(other, second)
    assert revision(first).startswith("sha256:")
    assert len(revision(first)) == len("sha256:") + 64


def test_variables_that_need_each_other_are_refused() -> None:
    with pytest.raises(PolicyErrors) as caught:
        compiled(
            document("p", rule("a", "allow"), variables={"x": "variables.y", "y": "variables.z", "z": "variables.x"})
        )
    (problem,) = caught.value.problems
    assert "the variables `x`, `y`, `z` need each other; break the circle" in str(problem)


def test_too_many_variables_are_refused() -> None:
    with pytest.raises(PolicyErrors, match="101 variables; 100 are the most"):
        compiled(document("p", rule("a", "allow"), variables={f"v{n}": "1" for n in range(101)}))


def test_a_long_chain_of_variables_can_be_evaluated() -> None:
    chain = {f"v{n}": f"variables.v{n + 1} + 1" for n in range(99)} | {"v99": "1"}
    policies = compiled(document("p", rule("a", "allow", when="variables.v0 == 100"), variables=chain))
    assert isinstance(evaluate(policies).decision, Allow)


def test_the_types_of_variables_are_known() -> None:
    with pytest.raises(PolicyErrors, match="does not take"):
        compiled(document("p", rule("a", "allow", when="variables.n == 'x'"), variables={"n": "size(user.sub)"}))


@pytest.mark.parametrize("name", ["host", ":path", "X-Extauthz-Decision-Id", "x_extauthz_a", "x-envoy-original-path"])
@pytest.mark.parametrize("field", ["headers", "response_headers"])
def test_some_headers_are_not_a_policy_s_to_change(name: str, field: str) -> None:
    with pytest.raises(PolicyErrors, match=r"can't be changed by a policy|is not a header name"):
        compiled(document("p", rule("a", "allow", allow={field: {name: "'x'"}})))


def test_a_header_both_set_and_removed_by_one_rule_is_refused() -> None:
    block = {"headers": {"x-a": "'1'"}, "remove_headers": ["X-A"]}
    with pytest.raises(PolicyErrors, match="both set and removed"):
        compiled(document("p", rule("a", "allow", allow=block)))


@pytest.mark.parametrize("other", ["X-A", "x_a"])
@pytest.mark.parametrize("block", [{"allow": ("headers", "response_headers")}, {"deny": ("headers",)}])
def test_two_spellings_of_one_header_are_refused(other: str, block: dict[str, tuple[str, ...]]) -> None:
    ((effect, fields),) = block.items()
    for field in fields:
        with pytest.raises(PolicyErrors, match=f"`x-a` and `{other}` are one header; remove one"):
            compiled(document("p", rule("a", effect, **{effect: {field: {"x-a": "'1'", other: "'2'"}}})))


def test_tcp_is_not_for_policies_with_hosts() -> None:
    with pytest.raises(PolicyErrors, match="only for policies without `hosts`"):
        compiled(document("p", rule("a", "allow", tcp=True), hosts=["app.example"]))
