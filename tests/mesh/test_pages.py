"""The pages on meshes and gateways say of the shipped files what these hold, and name each of them."""

import re
import textwrap
from pathlib import Path

import pytest
import yaml
from mesh.documents import GATEWAY_API, ISTIO, ROOT

from extauthz.settings import load_settings

PAGES = ("istio.md", "gateway-api.md")
QUOTE = re.compile(r"^# (envoy/\S+\.yaml)\n")


def blocks(page: str) -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "docs" / page).read_text(), re.DOTALL | re.MULTILINE)


def quotes(page: str) -> list[tuple[str, str]]:
    """The files that a page quotes, each with the lines."""
    return [(named[1], text[named.end() :]) for text in blocks(page) if (named := QUOTE.match(text))]


QUOTED = [pytest.param(*quote, id=f"{page}:{quote[0]}:{n}") for page in PAGES for n, quote in enumerate(quotes(page))]


@pytest.mark.parametrize(("file", "lines"), QUOTED)
def test_a_page_quotes_what_stands_there(file: str, lines: str) -> None:
    text = (ROOT / file).read_text()
    first = next(line for line in lines.splitlines() if line.strip())
    depths = {len(line) - len(line.lstrip()) for line in text.splitlines() if line.strip() == first.strip()}
    plain = textwrap.dedent(lines)
    assert any(textwrap.indent(plain, " " * depth) in text for depth in depths), f"{file} does not hold:\n{plain}"


@pytest.mark.parametrize(("page", "folder"), [("istio.md", ISTIO), ("gateway-api.md", GATEWAY_API)])
def test_a_page_names_every_file(page: str, folder: Path) -> None:
    text = (ROOT / "docs" / page).read_text()
    files = [path.relative_to(ROOT).as_posix() for path in sorted(folder.rglob("*.yaml"))]
    assert files
    assert [file for file in files if f"](../{file})" not in text] == []


@pytest.mark.parametrize("page", PAGES)
def test_each_configuration_of_a_page_is_one(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXTAUTHZ_CONFIG", raising=False)
    ours = [text for text in blocks(page) if not QUOTE.match(text)]
    assert ours
    for text in ours:
        path = tmp_path / "extauthz.yaml"
        path.write_text(text)
        assert load_settings(path).policies, text
        assert yaml.safe_load(text)["client" if "client" in text else "identity"]
