# ruff: noqa: INP001 (MkDocs loads it by its path)
"""What the pages need beside Markdown to be a site: MkDocs calls these functions (`hooks` in mkdocs.yml).

The pages are written for the repository, where every link works. Here each link that leads to a file which is no page
(a policy, Envoy's configuration, the README, a folder) leads to a page that shows that file. Nothing in the site comes
from another host: what package-lock.json names draws the diagrams, and searches where there is no server.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
PAGES, OUTSIDE = "docs/", "repository/"
"""Where pages are in the repository, and where in the site files are shown that are no pages."""

FENCE = re.compile(r"^( *)(`{3,})([^\n`]*)\n(.*?)^\1\2 *$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|[#/])([^)#\s]+)(?=[#)])")
NAMED = re.compile(r"^(\w+) ([\w./-]+)$")
LANGUAGES = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".py": "python", ".js": "js", ".proto": "protobuf"}

PACKAGES = Path(__file__).parent / "node_modules"
MERMAID_SERVED = "site/mermaid.js"
SCRIPTS = {
    MERMAID_SERVED: PACKAGES / "@mermaid-js" / "tiny" / "dist" / "mermaid.tiny.js",
    # For the search of pages that are read from a folder: there a browser starts no worker. mkdocs.yml loads it.
    "site/iframe-worker.js": PACKAGES / "iframe-worker" / "shim" / "index.js",
}
"""Where in the site scripts of others are."""
MERMAID_ELSEWHERE = '"https://unpkg.com/mermaid@11/dist/mermaid.min.js"'
"""What Material would load; relative to the site's root, which `__md_scope` is on every page, stands ours."""


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add a page for every file that a page links to and that is none, and the scripts of others."""
    for served, script in SCRIPTS.items():
        if not script.is_file():
            raise PluginError(f"no {script}: `make docs` installs it")
        files.append(File.generated(config, served, abs_src_path=str(script)))
    waiting = [PAGES + file.src_uri for file in files.documentation_pages()]
    while waiting:
        place = waiting.pop()
        for target in _linked(place):
            shown = _page(target)
            if shown is not None and files.get_file_from_path(shown) is None:
                added = File.generated(config, shown, content=_shown(target), inclusion=InclusionLevel.NOT_IN_NAV)
                files.append(added)
                if target.endswith(".md") or (ROOT / target).is_dir():
                    waiting.append(target)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 (MkDocs names them)
    """Lead links to the pages of what they name, and give a block that is a file its name for a title."""
    here = page.file.src_uri
    place = here.removeprefix(OUTSIDE) if here.startswith(OUTSIDE) else PAGES + here

    def led(found: re.Match[str]) -> str:
        shown = _page(_target(place, found[1]))
        return found[1] if shown is None else posixpath.relpath(shown, posixpath.dirname(here) or ".")

    def fenced(found: re.Match[str]) -> str:
        indent, ticks, said, text = found.groups()
        named = NAMED.sub(r'\1 title="\2"', said) or "text"
        return f"{indent}{ticks}{named}\n{text}{indent}{ticks}"

    return "".join(FENCE.sub(fenced, part) if is_code else LINK.sub(led, part) for is_code, part in _parts(markdown))


def on_post_build(*, config: MkDocsConfig) -> None:
    """Let Material load its drawing of diagrams from the site instead of from another host."""
    (bundle,) = (Path(config.site_dir) / "assets" / "javascripts").glob("bundle.*.min.js")
    script = bundle.read_text("utf-8")
    if script.count(MERMAID_ELSEWHERE) != 1:
        raise PluginError(f"{bundle.name} loads Mermaid in another way than {Path(__file__).name} knows")
    ours = f'new URL("{MERMAID_SERVED}",__md_scope).href'
    bundle.write_text(script.replace(MERMAID_ELSEWHERE, ours), "utf-8")


def _parts(markdown: str) -> Iterator[tuple[bool, str]]:
    """The text, cut into fenced blocks (true) and what is between them."""
    end = 0
    for found in FENCE.finditer(markdown):
        yield False, markdown[end : found.start()]
        yield True, found[0]
        end = found.end()
    yield False, markdown[end:]


def _linked(place: str) -> Iterator[str]:
    """What the page at this place in the repository links to, as places in the repository."""
    if (ROOT / place).is_dir():
        yield from (f"{place}/{name}" for name in _listed(place))
        return
    for is_code, part in _parts((ROOT / place).read_text("utf-8")):
        if not is_code:
            yield from (_target(place, found[1]) for found in LINK.finditer(part))


def _listed(folder: str) -> list[str]:
    """The names of the files in this folder of the repository that have a page."""
    return sorted(file.name for file in (ROOT / folder).iterdir() if file.is_file() and _page(f"{folder}/{file.name}"))


def _target(place: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(place), link))


def _page(target: str) -> str | None:
    """The page of the site that shows this place in the repository; none if it is not there or no text."""
    path = ROOT / target
    if path.is_dir():
        return _page(f"{target}/README.md") if (path / "README.md").is_file() else f"{OUTSIDE}{target}/index.md"
    if not path.is_file():
        return None
    if target.endswith(".md"):
        return target.removeprefix(PAGES) if target.startswith(PAGES) else OUTSIDE + target
    return f"{OUTSIDE}{target}.md" if path.suffix in LANGUAGES else None


def _shown(target: str) -> str:
    """The Markdown of a page that shows what is not in the documentation; no search finds it."""
    path = ROOT / target
    if target.endswith(".md"):
        return path.read_text("utf-8")
    head = f"---\nsearch: {{exclude: true}}\nhide: [navigation, toc]\n---\n# {target}\n\n"
    if path.is_dir():
        return head + "".join(f"- [{name}]({name})\n" for name in _listed(target))
    return f"{head}````{LANGUAGES[path.suffix]}\n{path.read_text('utf-8').rstrip()}\n````\n"
