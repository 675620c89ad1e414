"""Ports of a house: free ones, remembered so that a restart keeps them."""

import json
import random
import socket
from collections.abc import Sequence
from pathlib import Path

from cli.errors import UserError
from cli.files import write_atomic

HOST = "127.0.0.1"
# Below the range from which kernels take the ports of outgoing connections: a port of that range
# may be somebody's while a part of ours restarts.
PORT_MIN, PORT_MAX = 15_000, 32_000
ATTEMPTS_MAX = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback interface now."""
    with socket.socket() as probe:
        # As servers do: connections of a past server that linger do not make a port busy.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
        return True


class Ports:
    """One port per name, kept in a file while it stays free."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._path = path
        self._ports: dict[str, int] = {}
        past = self._read()
        for name in names:
            port = past.get(name)
            usable = isinstance(port, int) and port not in self._ports.values() and is_free(port)
            self._ports[name] = port if usable and port is not None else self._choose()
        self._write()

    def __getitem__(self, name: str) -> int:
        return self._ports[name]

    def address(self, name: str) -> str:
        """host:port of the name."""
        return f"{HOST}:{self._ports[name]}"

    def renew_busy(self, names: Sequence[str]) -> bool:
        """Chooses anew those ports that another process has taken; whether there were any."""
        busy = [name for name in names if not is_free(self._ports[name])]
        for name in busy:
            self._ports[name] = self._choose()
        if busy:
            self._write()
        return bool(busy)

    def _choose(self) -> int:
        # At random, so that two houses that start at the same moment hardly ever choose the same.
        for _ in range(ATTEMPTS_MAX):
            port = random.randint(PORT_MIN, PORT_MAX)
            if port not in self._ports.values() and is_free(port):
                return port
        raise UserError(f"no free port found between {PORT_MIN} and {PORT_MAX} of {HOST}")

    def _read(self) -> dict[str, int]:
        try:
            past = json.loads(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return past if isinstance(past, dict) else {}

    def _write(self) -> None:
        write_atomic(self._path, json.dumps(self._ports, indent=1) + "\n")
