# ruff: noqa: INP001 (a script beside the files that it writes)
"""Writes what is made of the chart: the manifests in kubernetes/, and the table of values in the chart's README; and
what the chart has of the repository, the alerts.

`make manifests` runs it; tests hold the files to it.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
CHART = HERE / "helm" / "extauthz"
MANIFESTS = HERE / "kubernetes"
ALERTS = HERE.parent / "envoy" / "observability" / "alerts.yml"
COPY_OF_ALERTS = CHART / "files" / "alerts.yml"
"""A chart has no files but its own."""
HELM = "v3.22.0"
"""The version in the Makefile."""
KUBERNETES = "1.34.0"
_BEGIN, _END = "<!-- values -->\n", "<!-- end of values -->\n"


def helm_binary() -> Path:
    """Where `make mesh-tools` puts Helm, or what `HELM_BIN` names; it need not be there."""
    named = os.environ.get("HELM_BIN")
    return Path(named) if named else Path.home() / ".cache" / "extauthz" / f"helm-{HELM}" / "helm"


def variants() -> list[str]:
    """The names of the manifests, which are those of their values."""
    return sorted(path.stem for path in (MANIFESTS / "values").glob("*.yaml"))


def template(variant: str) -> str:
    """The manifest of this name, as Helm renders it."""
    command: list[str | Path] = [
        helm_binary(),
        "template",
        "extauthz",
        CHART,
        "--namespace",
        "extauthz",
        "--skip-tests",
    ]
    command += ["--kube-version", KUBERNETES]  # else it is whichever this Helm was built for
    values = MANIFESTS / "values" / f"{variant}.yaml"
    rendered = subprocess.run(  # noqa: S603 - its arguments are ours
        [*command, "--values", values], check=True, capture_output=True, text=True
    )
    lines = (line for line in rendered.stdout.splitlines() if not line.startswith("# Source: "))
    what = values.read_text().splitlines()[0]
    made = f"# Rendered from the chart (../helm/extauthz) with values/{variant}.yaml; `make manifests` writes it anew."
    return "\n".join([what, made, *lines, ""])


def table() -> str:
    """Every value with its default and what it does, in Markdown."""
    schema: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
    defaults: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    rows = [f"| `{path}` | {_default(value)} | {text} |" for path, value, text in _values(schema, defaults, ())]
    return "\n".join(["| value | default | what it is |", "|---|---|---|", *rows, ""])


def readme() -> str:
    """The chart's README with the table of today."""
    before, _, rest = (CHART / "README.md").read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}{table()}{_END}{after}"


def _values(
    schema: Mapping[str, Any], defaults: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[str, object, str]]:
    for name, of in schema["properties"].items():
        if name not in defaults:  # `global`, which is Helm's
            continue
        here = (*path, name)
        if "properties" in of:
            yield from _values(of, defaults[name], here)
        else:
            yield ".".join(here), defaults[name], of["description"].replace("|", "\\|")


def _default(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return f"`{text}`" if len(text) <= 40 else "see values.yaml"


def main() -> None:
    """Write them."""
    COPY_OF_ALERTS.write_text(ALERTS.read_text())
    (CHART / "README.md").write_text(readme())
    for variant in variants():
        (MANIFESTS / f"{variant}.yaml").write_text(template(variant))


if __name__ == "__main__":
    main()
