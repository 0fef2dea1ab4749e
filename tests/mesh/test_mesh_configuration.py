"""The mesh configuration: one text for three installers, and no field that Istio's own messages lack."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import Message
from mesh.documents import ISTIO, mesh
from mesh.schemas import folder_of


@pytest.fixture(scope="module")
def mesh_config(tmp_path_factory: pytest.TempPathFactory) -> type[Message]:
    """The class of `istio.mesh.v1alpha1.MeshConfig`, compiled from what the project ships."""
    protoc = pytest.importorskip("grpc_tools.protoc")
    folder = folder_of("istio.io/api")
    compiled = tmp_path_factory.mktemp("mesh") / "mesh.binpb"
    arguments = [
        sys.executable,
        f"-I{folder}",
        f"-I{folder / 'common-protos'}",
        f"-I{Path(protoc.__file__).parent / '_proto'}",
        f"--descriptor_set_out={compiled}",
        "--include_imports",
        "mesh/v1alpha1/config.proto",
    ]
    assert protoc.main(arguments) == 0
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(compiled.read_bytes()).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("istio.mesh.v1alpha1.MeshConfig"))


def test_the_mesh_configuration_is_one_of_istio(mesh_config: type[Message]) -> None:
    read = json_format.ParseDict(mesh(), mesh_config())
    names = [one.name for one in read.extension_providers]  # type: ignore[attr-defined]  # made at run time
    assert names == ["extauthz", "extauthz-without-bodies", "extauthz-beside", "extauthz-access-log"]


def test_a_misspelt_field_of_the_mesh_configuration_is_found(mesh_config: type[Message]) -> None:
    configuration: dict[str, Any] = {"extensionProviders": [{"name": "x", "envoyExtAuthzGrpc": {"failopen": False}}]}
    with pytest.raises(json_format.ParseError, match="failopen"):
        json_format.ParseDict(configuration, mesh_config())


def test_all_installers_are_told_the_same() -> None:
    helm = yaml.safe_load((ISTIO / "helm-values.yaml").read_text())
    assert helm == {"meshConfig": mesh()}
    operator = yaml.safe_load((ISTIO / "operator.yaml").read_text())
    assert operator["spec"] == {"meshConfig": mesh()}


@pytest.mark.parametrize(("file", "indent"), [("helm-values.yaml", 2), ("operator.yaml", 4)])
def test_the_comments_are_the_same_everywhere(file: str, indent: int) -> None:
    text = (ISTIO / file).read_text().split(f"{' ' * (indent - 2)}meshConfig:\n")[1]
    plain = (ISTIO / "mesh.yaml").read_text().split("\n\n", 1)[1]
    assert "".join(line[indent:] if line.strip() else line for line in text.splitlines(keepends=True)) == plain
