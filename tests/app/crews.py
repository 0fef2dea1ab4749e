"""A parent and its workers, as processes that tests signal, kill and ask."""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import grpc
import httpx
from checking import told
from patience import GENEROUS, comes
from serving import POLICY, command

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.transport.methods import CHECK
from extauthz.wire.compose import check_request

COUNT = 2
CONFIG = """
listen: {grpc: "unix:FOLDER/grpc.sock", web: "unix:FOLDER/web.sock", admin: "unix:FOLDER/admin.sock"}
policies: [policies/]
reload: {watch: false}
audit: {path: audit.jsonl}
"""


class Running:
    """A parent and its workers."""

    def __init__(self, folder: Path, transport: str) -> None:
        self.folder = folder
        # Not in the folder, whose name is long: that of a socket may have a hundred letters.
        self._temporary = tempfile.TemporaryDirectory(prefix="crew-")
        self.temporary = Path(self._temporary.name)
        self._log = folder / "log"
        # A file and no pipe: it says more than fits into one that nobody reads.
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command(folder, transport), "--workers", str(COUNT)],
                stderr=log,
                env={**os.environ, "TMPDIR": self._temporary.name},
            )

    def said(self, event: str) -> list[dict[str, Any]]:
        """The lines of the log with this event. The last may still be written, and Envoys have their own."""
        lines = self._log.read_text().splitlines(keepends=True)
        assert not any(line.startswith("Traceback") for line in lines), "".join(lines)
        whole = [line for line in lines if line[0] == "{" and line[-1] == "\n"]
        return [line for line in map(json.loads, whole) if line["event"] == event]

    def waits_for(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """The same, when there are so many."""
        assert comes(lambda: len(self.said(event)) >= count or self.process.poll() is not None)
        found = self.said(event)
        assert len(found) >= count, self._log.read_text()
        return found

    def address(self, number: int, key: str = "grpc") -> str:
        return f"unix:{self.folder}/{key}.{number}.sock"

    def allows(self, number: int, path: str) -> bool:
        request = check_request(host="example.com", path=path, source_ip="127.0.0.1")
        with grpc.insecure_channel(self.address(number)) as channel:
            check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK)
            answer = CheckResponse.FromString(check(request, timeout=GENEROUS, wait_for_ready=True))
        return told(answer)["decision"] == "allow"

    def probe(self, number: int, path: str) -> httpx.Response:
        transport = httpx.HTTPTransport(uds=self.address(number, "admin").removeprefix("unix:"))
        with httpx.Client(transport=transport, timeout=GENEROUS) as client:
            return client.get(f"http://admin{path}")

    def revisions(self) -> list[str]:
        return [self.probe(number, "/ready").json()["revision"] for number in range(COUNT)]

    @property
    def children(self) -> list[int]:
        """The processes that the parent has started."""
        pid = self.process.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def end(self) -> None:
        """However it is; its workers end with it."""
        self.process.kill()
        self.process.wait()
        self._temporary.cleanup()


def workers_folder(place: Path) -> Path:
    """A configuration that allows `/one`."""
    (place / "policies").mkdir()
    (place / "policies" / "site.yaml").write_text(POLICY.format(path="/one"))
    (place / "extauthz.yaml").write_text(CONFIG.replace("FOLDER", str(place)))
    return place
