"""The house itself, with real processes: certificates, Postgres, broker, ports, supervision."""

import asyncio
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import nats
import nats.errors
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import kit.settings
from cli import authority, files
from cli.authority import ensure_certificates
from cli.broker import Broker, client_context
from cli.env import client_env
from cli.errors import InUse, PartFailed, UserError
from cli.keeper import delay_after
from cli.ports import Ports, is_free
from cli.postgres import Postgres, buffers_mb, memory_bytes
from cli.state import code_key, read_state
from cli.supervisor import Supervisor
from house import REPOSITORY, Ground, free_address

SERVICES = ("points", "tier")
# A service as the supervisor sees one: it listens, answers /readyz, leaves on SIGTERM.
STUB = """
import http.server, os, signal, sys
name = sys.argv[1].upper()
print("serving", name, os.environ["LAUREL_TIER_ADDR"], flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
    def log_message(self, *_): pass
host, port = os.environ[f"LAUREL_{name}_ADMIN_ADDR"].split(":")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
http.server.HTTPServer((host, int(port)), Handler).serve_forever()
"""


def stub_command(service: str) -> Sequence[str]:
    return (sys.executable, "-c", STUB, service)


async def no_bootstrap(database_url: str) -> None:
    """These services keep nothing; but what migrates must find the database."""
    await (await asyncpg.connect(database_url)).close()


def a_house(data: Path, environ: Mapping[str, str] | None = None) -> Supervisor:
    return Supervisor(
        data,
        environ={"PATH": os.environ["PATH"], **(environ or {})},
        services=SERVICES,
        command=stub_command,
        bootstrap=no_bootstrap,
    )


async def eventually(
    is_so: Callable[[], bool] | Callable[[], Awaitable[bool]], seconds: float = 20
) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = is_so()
        if answer if isinstance(answer, bool) else await answer:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not so after {seconds} s")


def runs(pid: int) -> bool:
    """Whether the process lives; one that has ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# Certificates


def test_every_identity_gets_a_pair_that_its_ca_signed(tmp_path: Path) -> None:
    ensure_certificates(tmp_path, ["points", "admin"])
    ca = x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes())
    for identity in ("points", "admin"):
        leaf = x509.load_pem_x509_certificate((tmp_path / f"{identity}.crt").read_bytes())
        leaf.verify_directly_issued_by(ca)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == identity
        assert names.get_values_for_type(x509.DNSName) == [identity, "localhost"]
        assert stat.S_IMODE((tmp_path / f"{identity}.key").stat().st_mode) == 0o600


def test_certificates_stay_until_they_are_about_to_expire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_certificates(tmp_path, ["points"])
    first = (tmp_path / "points.crt").read_bytes()
    ensure_certificates(tmp_path, ["points"])
    assert (tmp_path / "points.crt").read_bytes() == first

    (tmp_path / "points.crt").unlink()
    monkeypatch.setattr(authority, "LEAF_DAYS", 6)
    ensure_certificates(tmp_path, ["points"])
    soon = x509.load_pem_x509_certificate((tmp_path / "points.crt").read_bytes())
    assert soon.not_valid_after_utc < datetime.now(UTC) + timedelta(days=7)
    monkeypatch.undo()
    ensure_certificates(tmp_path, ["points"])
    renewed = x509.load_pem_x509_certificate((tmp_path / "points.crt").read_bytes())
    assert renewed.not_valid_after_utc > datetime.now(UTC) + timedelta(days=365)


def test_a_ca_of_somebody_else_is_never_replaced(tmp_path: Path) -> None:
    """SC-01: what it has signed serves as it is, and what it has not is asked of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "The company")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=90))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    authority._write(tmp_path, "ca", builder.sign(key, hashes.SHA256()), key)
    ensure_certificates(tmp_path, ["points"])
    (tmp_path / "ca.key").unlink()
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    ensure_certificates(tmp_path, ["points"])
    with pytest.raises(UserError, match=r"of another CA, CN=The company.* sign tier, "):
        ensure_certificates(tmp_path, ["points", "tier"])
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_house_makes_its_key_of_codes_once(tmp_path: Path) -> None:
    """AF-03: without it no code could be made."""
    made = code_key(tmp_path)
    assert len(made) >= 32
    assert code_key(tmp_path) == made
    assert stat.S_IMODE((tmp_path / "code_key").stat().st_mode) == 0o600


# Postgres


async def test_postgres_keeps_what_was_committed_over_a_kill(tmp_path: Path) -> None:
    ports = Ports(tmp_path / "ports.json", ["postgres"])
    postgres = Postgres(tmp_path / "postgres", ports["postgres"])
    await postgres.start()
    try:
        connection = await asyncpg.connect(postgres.url)
        await connection.execute("CREATE TABLE t (n int); INSERT INTO t VALUES (7)")
        durable = [
            await connection.fetchval(f"SHOW {name}") for name in ("fsync", "synchronous_commit")
        ]
        assert durable == ["on", "on"]
        postgres.send(signal.SIGKILL)
        assert await postgres.wait() == -signal.SIGKILL
        connection.terminate()

        await postgres.start()
        connection = await asyncpg.connect(postgres.url)
        assert await connection.fetchval("SELECT n FROM t") == 7
        await connection.close()
    finally:
        await postgres.stop()


async def test_a_pid_file_that_names_another_process_by_now_keeps_nothing_from_starting(
    tmp_path: Path,
) -> None:
    """As after a power loss, or in a container, where ids of processes come again."""
    ports = Ports(tmp_path / "ports.json", ["postgres"])
    postgres = Postgres(tmp_path / "postgres", ports["postgres"])
    await postgres.start()
    with subprocess.Popen(["sleep", "600"]) as another:
        try:
            postgres.send(signal.SIGKILL)
            await postgres.wait()
            file = tmp_path / "postgres" / "data" / "postmaster.pid"
            rest = file.read_text().partition("\n")[2]
            file.write_text(f"{another.pid}\n{rest}")
            await postgres.start()
            assert await postgres.ready()
            assert file.read_text().startswith(f"{postgres.pid}\n")
        finally:
            await postgres.stop()
            another.kill()


async def test_postgres_wants_its_password_and_its_folder_for_itself(tmp_path: Path) -> None:
    ports = Ports(tmp_path / "ports.json", ["postgres", "other"])
    postgres = Postgres(tmp_path / "postgres", ports["postgres"])
    await postgres.start()
    try:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(f"postgresql://laurel:guess@{postgres.address}/laurel")
        with pytest.raises(InUse, match=f"in use by process {os.getpid()}"):
            await Postgres(tmp_path / "postgres", ports["other"]).start()
        assert await postgres.ready()
    finally:
        await postgres.stop()
    assert stat.S_IMODE((tmp_path / "postgres" / "password").stat().st_mode) == 0o600


# Broker


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    ensure_certificates(tmp_path / "certificates")
    ports = Ports(tmp_path / "ports.json", ["nats"])
    broker = Broker(tmp_path / "nats", ports["nats"], tmp_path / "certificates")
    await broker.start()
    yield broker
    await broker.stop()


async def test_the_broker_refuses_a_client_without_certificate(broker: Broker) -> None:
    context = ssl.create_default_context(cafile=str(broker.certificates / "ca.crt"))
    with pytest.raises((nats.errors.Error, OSError)):
        await nats.connect(
            broker.url, tls=context, allow_reconnect=False, reconnect_time_wait=0, error_cb=quiet
        )


async def test_an_acknowledged_message_outlives_a_killed_broker(broker: Broker) -> None:
    context = client_context(broker.certificates, "points")
    client = await nats.connect(broker.url, tls=context, allow_reconnect=False, error_cb=quiet)
    await client.jetstream().add_stream(name="S", subjects=["s.>"])
    for number in range(50):
        await client.jetstream().publish("s.x", str(number).encode())
    broker.send(signal.SIGKILL)
    await broker.wait()
    await client.close()

    await broker.start()
    client = await nats.connect(broker.url, tls=context, allow_reconnect=False)
    assert (await client.jetstream().stream_info("S")).state.messages == 50
    await client.close()


async def quiet(_: Exception) -> None:
    """The broken connection is what these tests are about."""


# Ports and files


def test_ports_are_kept_while_free_and_chosen_anew_when_taken(tmp_path: Path) -> None:
    first = Ports(tmp_path / "ports.json", ["a", "b"])
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", first["a"]))
        taker.listen()
        second = Ports(tmp_path / "ports.json", ["a", "b"])
        assert second["a"] != first["a"]
        assert second["b"] == first["b"]
        assert not is_free(first["a"])
    assert Ports(tmp_path / "ports.json", ["a", "b"])["a"] == second["a"]


def test_a_log_beyond_its_bound_is_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LOG_BYTES_MAX", 10)
    (tmp_path / "x.log").write_text("longer than ten")
    files.rotate(tmp_path / "x.log")
    assert not (tmp_path / "x.log").exists()
    assert (tmp_path / "x.log.1").read_text() == "longer than ten"


def test_restarts_slow_down_and_stay_bounded() -> None:
    assert [delay_after(n) for n in (1, 2, 3)] == [0.1, 0.2, 0.4]
    assert delay_after(10_000) == 10


# The house


async def test_a_house_says_where_it_is_and_leaves_nothing_behind(tmp_path: Path) -> None:
    data = tmp_path / "a data folder"
    async with a_house(data) as house:
        assert stat.S_IMODE((data / "env").stat().st_mode) == 0o600
        script = '. "$1"; echo "$LAUREL_POINTS_ADDR|$LAUREL_KEY|$LAUREL_DATABASE_URL"'
        said = subprocess.check_output(["sh", "-c", script, "sh", str(data / "env")], text=True)
        keys = ("LAUREL_POINTS_ADDR", "LAUREL_KEY", "LAUREL_DATABASE_URL")
        assert said.strip() == "|".join(house.env[key] for key in keys)
        assert client_env(data, {"LAUREL_LOG_LEVEL": "info"}) == {
            **house.env, "LAUREL_LOG_LEVEL": "info",
        }  # fmt: skip
        with pytest.raises(InUse):
            await a_house(data).__aenter__()
        state = read_state(data)
        assert state is not None
        assert state.ready
        pids = [part.pid for part in state.parts]
        assert [part.name for part in state.parts] == ["postgres", "nats", *SERVICES]
        assert all(pid and runs(pid) for pid in pids)
    assert not any(pid and runs(pid) for pid in pids)
    assert not (data / "env").exists()
    with pytest.raises(UserError, match="no house runs"):
        client_env(data, {"PATH": ""})


@pytest.mark.parametrize("name", ["points", "postgres", "nats"])
async def test_what_dies_is_started_again_where_it_was(tmp_path: Path, name: str) -> None:
    async with a_house(tmp_path) as house:
        env, pid = house.env, house.pid_of(name)
        await house.kill(name)
        await house.wait_ready()
        assert house.pid_of(name) not in {None, pid}
        assert house.env == env


async def test_a_stopped_service_stays_so_until_it_is_started(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.stop_service("tier")
        await asyncio.sleep(0.5)
        assert house.pid_of("tier") is None
        await house.start_service("tier")
        await house.wait_ready()
        assert house.pid_of("tier") is not None


async def test_a_service_whose_port_was_taken_moves_and_the_others_hear(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        host, _, port = house.env["LAUREL_TIER_ADMIN_ADDR"].partition(":")
        await house.stop_service("tier")
        with socket.socket() as taker:
            taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taker.bind((host, int(port)))
            taker.listen()
            points = house.pid_of("points")
            await house.start_service("tier")
            await eventually(lambda: house.pid_of("points") not in {None, points})
            await house.wait_ready()
            assert house.env["LAUREL_TIER_ADMIN_ADDR"] != f"{host}:{port}"
            assert house.env["LAUREL_TIER_ADMIN_ADDR"] in (tmp_path / "env").read_text()


async def test_a_service_that_cannot_start_ends_the_house_with_its_log(tmp_path: Path) -> None:
    def broken(service: str) -> Sequence[str]:
        return (sys.executable, "-c", "import sys; sys.exit('the reason why')")

    house = Supervisor(
        tmp_path, environ={}, services=["points"], command=broken, bootstrap=no_bootstrap
    )
    with pytest.raises(PartFailed, match=r"(?s)points ended 3 times.*the reason why"):
        await house.__aenter__()
    assert house.pid_of("postgres") is None
    assert not (tmp_path / "env").exists()


async def test_servers_named_by_the_environment_are_used_and_none_started(tmp_path: Path) -> None:
    """OP-05: a database and a broker that exist."""
    async with a_house(tmp_path / "one") as one:
        given = {key: one.env[key] for key in ("LAUREL_DATABASE_URL", "LAUREL_NATS_URL")}
        async with a_house(tmp_path / "two", given) as two:
            assert given.items() <= two.env.items()
            state = read_state(tmp_path / "two")
            assert state is not None
            assert [part.name for part in state.parts] == list(SERVICES)
        # Whoever has sourced the file of a house and starts another wants servers of its own.
        engine = {"LAUREL_EXTERNAL_ENGINE_ADDR": "engine:443", "LAUREL_LOG_LEVEL": "debug"}
        async with a_house(tmp_path / "three", {**one.env, **engine}) as three:
            assert three.env["LAUREL_DATABASE_URL"] != given["LAUREL_DATABASE_URL"]
            assert engine.items() <= three._service_environ().items(), "settings are no addresses"


def test_the_address_of_an_engine_does_not_say_where_the_services_are(tmp_path: Path) -> None:
    """AF-07: whoever has set it for `laurel up` calls the house that it started."""
    engine = {"LAUREL_EXTERNAL_ENGINE_ADDR": "engine:443"}
    with pytest.raises(UserError, match="no house runs"):
        client_env(tmp_path, engine)
    elsewhere = {**engine, "LAUREL_POINTS_ADDR": "points:443"}
    assert client_env(tmp_path, elsewhere) == elsewhere


HOUSE = """
import asyncio, pathlib, sys
import test_stack
async def main():
    async with test_stack.a_house(pathlib.Path(sys.argv[1])):
        await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_children_die_with_a_killed_supervisor_and_the_next_takes_over(
    tmp_path: Path,
) -> None:
    path = os.pathsep.join(map(str, (Path(__file__).parent, *sys.path)))
    command = [sys.executable, "-c", HOUSE, str(tmp_path)]
    supervisor = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})
    try:
        await eventually(lambda: (s := read_state(tmp_path)) is not None and s.ready, 60)
    finally:
        supervisor.kill()
        supervisor.wait()
    state = read_state(tmp_path)
    assert state is not None
    pids = [part.pid for part in state.parts if part.pid]
    assert len(pids) == 4
    async with a_house(tmp_path) as house:
        assert not any(runs(pid) for pid in pids)
        assert [part.address for part in house.state.parts] == [p.address for p in state.parts]


# The command line


def laurel(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environ = {"PATH": os.environ["PATH"], **variables}
    command = [sys.executable, "-m", "cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environ, check=False)


def test_a_mistake_of_the_user_is_one_message_and_status_2(tmp_path: Path) -> None:
    ended = laurel("serve", "points", LAUREL_POOL_SIZE="many")
    assert ended.returncode == 2
    assert "LAUREL_POOL_SIZE" in ended.stderr
    assert "Traceback" not in ended.stderr
    unknown = laurel("serve", "nothing")
    assert (unknown.returncode, "Traceback" in unknown.stderr) == (2, False)


def test_status_is_not_0_when_nothing_runs(tmp_path: Path) -> None:
    ended = laurel("status", "--data", str(tmp_path), "--json")
    assert (ended.returncode, json.loads(ended.stdout)) == (1, [])
    assert laurel("down", "--data", str(tmp_path)).returncode == 0


@pytest.mark.parametrize(("memory_gb", "buffers"), [(0.25, 128), (2, 512), (7.5, 1920), (64, 4096)])
def test_postgres_keeps_a_quarter_of_the_memory_within_bounds(
    memory_gb: float, buffers: int
) -> None:
    assert buffers_mb(int(memory_gb * 2**30)) == buffers


def test_the_memory_of_a_container_is_what_it_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit, missing = tmp_path / "memory.max", tmp_path / "missing"
    monkeypatch.setattr("cli.postgres.LIMITS", (str(limit), str(missing)))
    whole = memory_bytes()
    for text, expected in (("max\n", whole), ("1073741824\n", 2**30), (f"{2**62}\n", whole)):
        limit.write_text(text)
        assert memory_bytes() == expected


def test_what_keeps_a_service_from_starting_is_one_message(tmp_path: Path) -> None:
    """OP-01: whatever it is that is not there, or is taken."""
    ensure_certificates(tmp_path, ["points", "notification"])
    given = {f"LAUREL_{name.upper()}_ADDR": free_address() for name in kit.settings.SERVICES}
    given |= {
        "LAUREL_DATABASE_URL": "postgresql://laurel@127.0.0.1:1/laurel",
        "LAUREL_NATS_URL": "nats://127.0.0.1:1",
        "LAUREL_CERT_DIR": str(tmp_path),
        "LAUREL_POLICY": str(REPOSITORY / "deploy" / "policy.yaml"),
    }
    (tmp_path / "list.yaml").write_text("[]")
    for variable, wrong, says in (
        ("LAUREL_POLICY", str(tmp_path / "list.yaml"), "expected `groups` and `methods`"),
        ("LAUREL_POLICY", str(tmp_path / "none.yaml"), "none.yaml"),
        ("LAUREL_CERT_DIR", str(tmp_path / "none"), "none/"),
        ("LAUREL_LOG_LEVEL", "info", "points: the database cannot be used"),
        ("LAUREL_DATABASE_URL", "mysql://laurel:its-password@db/laurel", "LAUREL_DATABASE_URL: "),
        ("LAUREL_NATS_URL", "its-password@broker", "LAUREL_NATS_URL: "),
    ):
        ended = laurel("serve", "points", "notification", **{**given, variable: wrong})
        assert (ended.returncode, "Traceback" in ended.stderr) == (2, False), ended.stderr
        assert says in ended.stderr, ended.stderr
        assert "its-password" not in ended.stderr


async def test_a_port_that_is_taken_and_a_mail_server_that_is_none_are_one_message(
    ground: Ground,
) -> None:
    async with ground.house() as house:
        await house.start("tier")
        given = {
            f"LAUREL_{name.upper()}": str(value)
            for name, value in house.settings.model_dump().items()
            if name.endswith(("_addr", "_url", "_dir", "policy")) and value is not None
        }
        taken = await asyncio.to_thread(laurel, "serve", "tier", **given)
        mail = {**given, "LAUREL_SMTP_URL": "its-password"}
        mistaken = await asyncio.to_thread(laurel, "serve", "notification", **mail)
    for ended in (taken, mistaken):
        assert (ended.returncode, "Traceback" in ended.stderr) == (2, False), ended.stderr
    assert "laurel: tier cannot start: " in taken.stderr
    assert "laurel: LAUREL_SMTP_URL: expected smtp://" in mistaken.stderr
    assert "its-password" not in mistaken.stderr
