"""Redis stores that move: a cluster whose slots change hands, Sentinels that name another master, TLS."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import trustme
from ports import free_port
from redis.crc import key_slot
from redises import RedisProcess, running_cluster
from stepup.proofs import ALICE, NOW, SESSION
from store.one_loop import run
from store.parts import ADDRESS, LIMIT, enrolment, factor, grant, redemption

from extauthz.errors import StateUnavailable
from extauthz.store.protocol import Changed, Redeemed, Selection, Store
from extauthz.store.redis_rows import SubjectKeys
from extauthz.values.identity import Subject

Open = Callable[[str], Store]
SLOT = key_slot(SubjectKeys.of("extauthz", ALICE).grants.encode())


@pytest.fixture
def movable(tmp_path: Path) -> Iterator[Sequence[RedisProcess]]:
    """A cluster that a test may change."""
    with running_cluster(tmp_path) as nodes:
        yield nodes


def of(node: RedisProcess) -> str:
    with node.client() as client:
        return str(client.execute_command("CLUSTER", "MYID").decode())


def port_of(slot: int, asked: RedisProcess) -> int:
    """The port of the node that has a slot, by the word of another."""
    with asked.client() as client:
        slots = client.execute_command("CLUSTER", "SLOTS")
    (port,) = {int(node[1]) for first, last, node, *_ in slots if first <= slot <= last}
    return port


def owner(nodes: Sequence[RedisProcess]) -> tuple[RedisProcess, RedisProcess]:
    """The node that has Alice's slot, and another one."""
    port = port_of(SLOT, nodes[0])
    has = next(node for node in nodes if node.port == port)
    return has, next(node for node in nodes if node is not has)


def test_a_slot_that_moves_is_followed(movable: Sequence[RedisProcess], opened: Open) -> None:
    store = opened(f"redis+cluster://127.0.0.1:{movable[0].port},127.0.0.1:{movable[1].port}")
    run(store.enroll(enrolment(factor()), now=NOW))
    assert run(store.redeem(redemption(grant(uses=2), ticket="t", limits=(LIMIT, ADDRESS)), now=NOW)) is Redeemed.DONE
    before, after = owner(movable)
    with before.client() as source, after.client() as target:
        target.execute_command("CLUSTER", "SETSLOT", SLOT, "IMPORTING", of(before))
        source.execute_command("CLUSTER", "SETSLOT", SLOT, "MIGRATING", of(after))
        keys = source.execute_command("CLUSTER", "GETKEYSINSLOT", SLOT, 100)
        assert len(keys) == 4
        source.execute_command("MIGRATE", "127.0.0.1", after.port, "", 0, 5000, "KEYS", *keys)
        # Half way: all keys are there, and the slot is still here. A script with a key that is nowhere must wait.
        assert len(run(store.look_up(ALICE, SESSION, fingerprint="g", now=NOW)).grants) == 1
        with pytest.raises(StateUnavailable):
            run(store.consume(ALICE, ["g1"], fingerprint="f", now=NOW))
        for node in movable:
            with node.client() as client:
                client.execute_command("CLUSTER", "SETSLOT", SLOT, "NODE", of(after))
    assert run(store.consume(ALICE, ["g1"], fingerprint="f", now=NOW))
    assert run(store.consume(ALICE, ["g1"], fingerprint="g", now=NOW))
    assert not run(store.consume(ALICE, ["g1"], fingerprint="h", now=NOW))
    assert run(store.redeem(redemption(step=8, ticket="t"), now=NOW)) is Redeemed.TICKET_USED


def test_a_node_that_is_gone_is_an_outage_for_its_subjects_only(movable: Sequence[RedisProcess], opened: Open) -> None:
    has, other = owner(movable)
    store = opened(f"redis+cluster://127.0.0.1:{other.port},127.0.0.1:{has.port}")
    run(store.ping())
    bob = next(
        subject
        for subject in (Subject("", f"spiffe://example.org/{number}") for number in range(1000))
        if port_of(key_slot(SubjectKeys.of("extauthz", subject).grants.encode()), other) == other.port
    )
    has.stop()
    for _ in range(3):
        with pytest.raises(StateUnavailable):
            run(store.look_up(ALICE, SESSION, fingerprint="", now=NOW))
    assert run(store.enroll(enrolment(factor(subject=bob)), now=NOW)) is Changed.DONE
    with pytest.raises(StateUnavailable):
        run(store.grants(Selection(), now=NOW))
    has.start()
    while is_out_of_reach(store):
        pass  # until the others have heard of it


def is_out_of_reach(store: Store) -> bool:
    try:
        run(store.look_up(ALICE, SESSION, fingerprint="", now=NOW))
    except StateUnavailable:
        return True
    return False


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[str, RedisProcess, RedisProcess]]:
    """Three Sentinels with a password over a master and its replica: the address, the master, the replica."""
    master = RedisProcess(tmp_path / "master", port=free_port())
    replica = RedisProcess(tmp_path / "replica", "--replicaof", f"127.0.0.1 {master.port}", port=free_port())
    sentinels: list[RedisProcess] = []
    (tmp_path / "sentinel-password").write_text("watchful")
    try:
        for server in (master, replica):
            server.start()
        for number in range(3):
            folder = tmp_path / f"sentinel{number}"
            folder.mkdir()
            (folder / "redis.conf").write_text(
                f"sentinel monitor main 127.0.0.1 {master.port} 2\n"
                "sentinel down-after-milliseconds main 300\n"
                "sentinel failover-timeout main 2000\n"
                "requirepass watchful\n"
                "sentinel sentinel-pass watchful\n"
            )
            sentinels.append(RedisProcess(folder, port=free_port(), sentinel=True).start())
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in sentinels)
        yield f"redis+sentinel://{hosts}/main?sentinel_password_file=sentinel-password", master, replica
    finally:
        for server in (*sentinels, master, replica):
            server.stop()


@pytest.mark.timeout(60)
def test_the_master_that_the_sentinels_name_is_followed(
    guarded: tuple[str, RedisProcess, RedisProcess], opened: Open
) -> None:
    address, master, replica = guarded
    store = opened(address)
    run(store.ping())
    run(store.enroll(enrolment(factor()), now=NOW))
    assert run(store.redeem(redemption(grant(uses=1)), now=NOW)) is Redeemed.DONE
    with master.client() as client:
        while client.execute_command("WAIT", 1, 1_000) == 0:
            pass  # until the replica has it
    master.stop()
    with pytest.raises(StateUnavailable):
        run(store.look_up(ALICE, SESSION, fingerprint="", now=NOW))
    while True:
        try:
            assert run(store.consume(ALICE, ["g1"], fingerprint="", now=NOW))
            break
        except StateUnavailable:
            continue
    with replica.client() as client:
        assert client.execute_command("ROLE")[0] == b"master"
    assert run(store.redeem(redemption(), now=NOW)) is Redeemed.MARK_USED
    run(store.ping())


@pytest.fixture(params=["gone", "hanging"])
def behind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisProcess]:
    """A Sentinel of the same service that names a server that is gone, or that answers nothing."""
    with RedisProcess(tmp_path / "former", port=free_port()).start() as former:
        folder = tmp_path / "behind"
        folder.mkdir()
        (folder / "redis.conf").write_text(
            f"sentinel monitor main 127.0.0.1 {former.port} 2\nrequirepass watchful\nsentinel sentinel-pass watchful\n"
        )
        if request.param == "hanging":
            former.pause()
        else:
            former.stop()
        with RedisProcess(folder, port=free_port(), sentinel=True).start() as sentinel:
            yield sentinel


def test_a_sentinel_that_has_not_heard_of_the_failover_yet_hinders_nobody(
    behind: RedisProcess, guarded: tuple[str, RedisProcess, RedisProcess], opened: Open
) -> None:
    address = guarded[0].replace("redis+sentinel://", f"redis+sentinel://127.0.0.1:{behind.port},")
    for _ in range(10):  # which of them answers first is chance
        run(opened(address).ping())


def test_a_service_that_no_sentinel_knows_is_an_outage(
    guarded: tuple[str, RedisProcess, RedisProcess], opened: Open
) -> None:
    with pytest.raises(StateUnavailable, match="know no such service"):
        run(opened(guarded[0].replace("/main", "/other")).ping())


@pytest.fixture
def authority() -> trustme.CA:
    """Whose certificates the server and its clients have."""
    return trustme.CA()


@pytest.fixture
def secure(tmp_path: Path, authority: trustme.CA) -> Iterator[RedisProcess]:
    """A Redis that speaks TLS on its port, to clients with a certificate of the authority."""
    server = authority.issue_cert("localhost")
    server.private_key_pem.write_to_path(tmp_path / "server-key.pem")
    server.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client = authority.issue_cert("extauthz")
    client.private_key_pem.write_to_path(tmp_path / "client-key.pem")
    client.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    trustme.CA().cert_pem.write_to_path(tmp_path / "other-ca.pem")
    port = free_port()
    options = ("--tls-port", str(port), "--tls-cert-file", "server.pem", "--tls-key-file", "server-key.pem")
    folder = tmp_path / "redis"
    folder.mkdir()
    for name in ("server.pem", "server-key.pem", "ca.pem"):
        (folder / name).write_bytes((tmp_path / name).read_bytes())
    with RedisProcess(folder, *options, "--tls-ca-cert-file", "ca.pem", port=port).start() as running:
        yield running


def test_tls_proves_both_sides(secure: RedisProcess, opened: Open) -> None:
    ours = "ca=ca.pem&cert=client.pem&key=client-key.pem"
    run(opened(f"rediss://localhost:{secure.port}?{ours}").ping())
    for wrong in (
        f"rediss://localhost:{secure.port}?{ours.replace('ca.pem', 'other-ca.pem', 1)}",
        f"rediss://127.0.0.1:{secure.port}?{ours}",
        f"rediss://localhost:{secure.port}?ca=ca.pem",
        f"redis://localhost:{secure.port}",
    ):
        with pytest.raises(StateUnavailable):
            run(opened(wrong).ping())
