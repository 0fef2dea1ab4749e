"""Servers that share one store, as processes that a test may kill, and the people whose requests they decide."""

import json
import os
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.factor_store import FactorStore
from redises import RedisProcess
from serving import CONFIG, command

from extauthz.app.key_file import make_keys
from extauthz.cli.quickstart.tokens import AUDIENCE, ISSUER, TokenIssuer
from extauthz.stepup.totp import SECRET_BYTES
from extauthz.store.factor_secret import seal_factor
from extauthz.store.protocol import Enrolment, Store
from extauthz.values.identity import Subject

_MEMORY = Path("/dev/shm")
_PAUSED_MS = 60
POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: site}
spec:
  rules:
    - {name: open, paths: ["/open"], effect: allow}
    - {name: people, paths: ["/once/*"], when: has(user.sub), effect: allow}
    - name: once
      paths: ["/once/*"]
      effect: challenge
      challenge: {factors: [totp, recovery], max_age: 5m, bind: request}
"""


class Replica:
    """One server with the configuration in `folder`; it can be started again."""

    def __init__(self, folder: Path, number: int, transport: str = "grpcio") -> None:
        self._folder = folder
        self._transport = transport
        # A file and no pipe: it says more than fits into one that nobody reads.
        self._log = folder / f"server-{number}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = 0
        self.said: Mapping[str, str] = {}
        """Where it listens; where it did, until it has said so again."""

    def start(self) -> None:
        """Start it, on ports that it finds."""
        self._ended = 0
        # What a server that was killed has left behind may still write, and then does so at the end.
        with self._log.open("ab") as log:
            log.truncate(0)
            self._process = subprocess.Popen(command(self._folder, self._transport), stderr=log)

    def wait(self) -> None:
        """Until it serves."""
        assert self._process is not None
        while not self._serves():
            assert self._process.poll() is None, self._log.read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once, in the middle of whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def kill_envoy(self) -> bool:
        """End the Envoy that it is in, for which it starts another one; returns whether there was one that served."""
        if self._process is None or not self._serves():
            return False
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        envoys = [int(one) for one in children if "envoy" in Path(f"/proc/{one}/comm").read_text()]
        for envoy in envoys:
            os.kill(envoy, signal.SIGKILL)
            while Path(f"/proc/{envoy}").exists():
                time.sleep(0.001)
        self._ended = len(self._servings())
        return bool(envoys)

    def _serves(self) -> bool:
        servings = self._servings()[self._ended :]
        if servings:
            self.said = servings[-1]
        return bool(servings)

    def _servings(self) -> list[Mapping[str, str]]:
        lines = self._log.read_text().splitlines(keepends=True)
        return [said for line in lines if line.endswith("\n") and (said := json.loads(line))["event"] == "serving"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What the servers share: a folder with their configuration, the store that it names, the issuer of their users."""

    folder: Path
    issuer: TokenIssuer
    replicas: Sequence[Replica]

    @property
    def store(self) -> FactorStore:
        """The store that they use."""
        return FactorStore(folder=self.folder)

    def token(self, sub: str) -> str:
        """A token of this person, in a session that they keep."""
        return self.issuer.token(sub, {"sid": f"session-of-{sub}"}, now=time.time())

    def enroll(self, *subs: str) -> Mapping[str, bytes]:
        """The secrets of new authenticator apps, one of each of these people."""
        secrets, keys = {sub: os.urandom(SECRET_BYTES) for sub in subs}, self.store.keys

        async def work(store: Store) -> None:
            for sub, secret in secrets.items():
                subject, now = Subject(ISSUER, sub), time.time()
                factor = seal_factor(secret, subject=subject, confirmed=True, keys=keys, now=now, entropy=os.urandom)
                await store.enroll(Enrolment(subject=subject, factors=(factor,)), now=now)

        self.store.do(work)
        return secrets


class SharedFile:
    """A SQLite file."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "extauthz.db"
        self.url = f"sqlite:///{self._path}"

    @contextmanager
    def held(self) -> Iterator[None]:
        """What is read is read as always; what is written waits."""
        with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")


class SharedRedis:
    """A Redis."""

    def __init__(self, redis: RedisProcess) -> None:
        self._redis = redis
        self.url = redis.url

    @contextmanager
    def held(self) -> Iterator[None]:
        """What is read is read as always; what is written waits, but no longer than servers do."""
        with self._redis.client() as client:
            client.client_pause(_PAUSED_MS, all=False)
            yield
            client.client_unpause()


SharedStore = SharedFile | SharedRedis
SHARED = ("sqlite", "redis")


@contextmanager
def shared_store(kind: str) -> Iterator[SharedStore]:
    """A new store of this kind, one of SHARED, that is gone afterwards."""
    # What a process has written outlives it without a disk, which would only make a thousand transactions slow.
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        if kind == "sqlite":
            yield SharedFile(Path(folder))
        else:
            with RedisProcess(Path(folder)).start() as redis:
                yield SharedRedis(redis)


@contextmanager
def running_site(folder: Path, store: SharedStore, servers: int = 2) -> Iterator[Site]:
    """Servers that share this store; their configuration is in `folder`."""
    issuer = TokenIssuer.create()
    source = {"name": "idp", "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": "jwks.json", "algorithms": ["ES256"]}
    users = [{**source, "from": ["authorization", "cookie:session"]}]
    (folder / "policies").mkdir()
    (folder / "policies" / "site.yaml").write_text(POLICY)
    (folder / "jwks.json").write_text(issuer.jwks())
    (folder / "extauthz.yaml").write_text(f"{CONFIG}\nstore: {store.url}\nidentity: {json.dumps({'users': users})}\n")
    make_keys(folder / "keys.json", replace=False)
    site = Site(folder=folder, issuer=issuer, replicas=[Replica(folder, number) for number in range(servers)])
    try:
        for replica in site.replicas:
            replica.start()
        for replica in site.replicas:
            replica.wait()
        yield site
    finally:
        for replica in site.replicas:
            replica.kill()
