"""An issuer whose name nobody answers for: what goes on beside it on a running server."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from serving import CONFIG, POLICY, Serve

# What Python imports first of all: the name server of this process hangs for one host.
HANGING = """
import socket, time
system = socket.getaddrinfo
def getaddrinfo(host, *rest, **more):
    if host in ("hangs.example", b"hangs.example"):
        time.sleep(3600)
    return system(host, *rest, **more)
socket.getaddrinfo = getaddrinfo
"""
USERS = """
identity:
  users:
    - name: slow
      issuer: https://hangs.example
      introspection: {url: "https://hangs.example/introspect", client_id: extauthz, client_secret_file: secret}
"""
CALLERS = 40


def test_policies_reload_while_the_name_of_an_issuer_hangs(serve: Serve, folder: Path) -> None:
    (folder / "sitecustomize.py").write_text(HANGING)
    (folder / "secret").write_text("s3cr3t\n")
    (folder / "extauthz.yaml").write_text(CONFIG + USERS)
    (folder / "policies" / "site.yaml").write_text(POLICY.format(path="/one"))
    served = serve(PYTHONPATH=str(folder))
    with ThreadPoolExecutor(CALLERS) as callers:
        tokens = [{"authorization": f"Bearer opaque-{number}"} for number in range(CALLERS)]
        answers = list(callers.map(lambda token: served.answer("/one", token, timeout=20), tokens))
    assert {answer.denied_response.status.code for answer in answers} == {503}
    served.write_policy("/two")
    served.next_event("reloaded")
    assert served.allows("/two")
