"""What a house leaves in its data folder for others to read: `env`, `state.json`, the lock."""

import json
import os
import secrets
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from cli.errors import UserError
from cli.files import Claim, holder_of, write_atomic

DEFAULT_DATA = Path(".laurel")


@dataclass(frozen=True, slots=True)
class PartState:
    """One part as the supervisor last saw it."""

    name: str
    pid: int | None
    address: str
    admin_address: str | None
    log: str


@dataclass(frozen=True, slots=True)
class HouseState:
    """The house as its supervisor last saw it; `ready` once every part has been ready."""

    pid: int
    ready: bool
    parts: Sequence[PartState]


def house_claim(data: Path) -> Claim:
    """The right to run a house on this data folder."""
    return Claim(data / "lock", f"the data folder {data}")


def supervisor_of(data: Path) -> int | None:
    """Process that runs a house on this data folder now, or None."""
    return holder_of(data / "lock")


def code_key(data: Path) -> str:
    """The secret that the house's one-time codes are made with: made once, for the services."""
    path = data / "code_key"
    if not path.exists():
        write_atomic(path, secrets.token_urlsafe(32))
    return path.read_text()


def write_state(data: Path, state: HouseState) -> None:
    """Replaces what is known of the house."""
    write_atomic(data / "state.json", json.dumps(asdict(state), indent=1) + "\n")


def read_state(data: Path) -> HouseState | None:
    """What is known of the house, or None when nothing is."""
    try:
        raw = json.loads((data / "state.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    return HouseState(raw["pid"], raw["ready"], [PartState(**part) for part in raw["parts"]])


def write_env(data: Path, env: Mapping[str, str]) -> None:
    """Writes the variables as a file for a shell to source."""
    lines = [f"export {key}={shlex.quote(value)}\n" for key, value in env.items()]
    write_atomic(data / "env", "".join(lines))


def read_env(data: Path) -> dict[str, str]:
    """Variables of the house that runs on this data folder; `UserError` when none does."""
    try:
        lines = (data / "env").read_text().splitlines()
    except FileNotFoundError:
        raise UserError(f"no house runs on {data}: start one with `laurel up`") from None
    words = (shlex.split(line)[1:] for line in lines)
    return dict(word[0].split("=", 1) for word in words if word)


def remove_traces(data: Path) -> None:
    """Removes what says that a house runs here."""
    for name in ("env", "state.json"):
        with suppress(FileNotFoundError):
            os.unlink(data / name)
