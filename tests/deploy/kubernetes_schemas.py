"""python tests/deploy/kubernetes_schemas.py WHEEL FOLDER: Kubernetes' JSON Schemas as kubeconform reads them.

They are those of the package kubernetes-validate, which names them by addresses of its own: here each stands beside the
definitions that it refers to.
"""

import hashlib
import json
import sys
import zipfile
from pathlib import Path
from typing import Final

SHA256: Final = "85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9"
"""Of kubernetes_validate-1.37.0-py3-none-any.whl."""
VERSION: Final = "v1.34.0"
WITHIN: Final = f"kubernetes_validate/kubernetes-json-schema/{VERSION}-local-strict/"


def unpack(wheel: Path, folder: Path) -> None:
    """Write the schemas of this version to where kubeconform looks for them under the folder."""
    content = wheel.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        sys.exit(f"{wheel}: is not the package that is expected; download it again")
    place = folder / f"{VERSION}-standalone-strict"
    place.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith(WITHIN):
                text = archive.read(name).decode().replace('"/api/_definitions.json', '"_definitions.json')
                schema = json.loads(text)
                schema.pop("$id", None)
                (place / name.removeprefix(WITHIN)).write_text(json.dumps(schema))


if __name__ == "__main__":
    unpack(*map(Path, sys.argv[1:]))
