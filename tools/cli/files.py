"""Files that are whole or absent, folders that one process claims, logs that stay bounded."""

import fcntl
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from cli.errors import InUse, UserError

LOG_BYTES_MAX = 50 * 1024 * 1024


def resource(path: str) -> Path:
    """Path of a file of `deploy/`, in a checkout as in an installed wheel."""
    packaged = Path(__file__).parent / "deploy" / path
    return packaged if packaged.exists() else Path(__file__).parents[2] / "deploy" / path


def write_atomic(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    """Replaces the whole file: readers see the old content or the new, also after a crash.

    Raises UserError in a folder where nothing can be written.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, mode)
            file.write(data)
            file.flush()
            os.fsync(handle)
        os.replace(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise


def make_private(folder: Path) -> Path:
    """Makes the folder, readable by its owner alone, and returns its absolute path.

    Raises UserError where it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be made: {error}") from error
    return folder.absolute()


class Claim:
    """Sole use of what a lock file stands for; the kernel frees it when the process dies."""

    def __init__(self, lock: Path, what: str) -> None:
        self._lock = lock
        self._what = what
        self._handle: int | None = None

    def take(self) -> None:
        """Takes it, once; `InUse` when another holder has it, UserError where it cannot be."""
        if self._handle is not None:
            return
        handle = _open(self._lock, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 32, 0).decode().strip() or "unknown"
            os.close(handle)
            raise InUse(f"{self._what} is already in use by process {holder}") from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        self._handle = handle

    def free(self) -> None:
        """Gives it back, if it was taken."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def holder_of(lock: Path) -> int | None:
    """Process that holds the lock file now, or None. Raises UserError where that cannot be read."""
    try:
        handle = _open(lock, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(handle, 32, 0).decode().strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(handle)
    return None


def _open(lock: Path, flags: int) -> int:
    try:
        return os.open(lock, flags, 0o600)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{lock} cannot be opened: {error}") from error


def rotate(log: Path) -> None:
    """Puts a log that has grown beyond its bound aside, in place of the one put aside before."""
    with suppress(FileNotFoundError):
        if log.stat().st_size > LOG_BYTES_MAX:
            os.replace(log, log.with_name(log.name + ".1"))


def tail(log: Path, lines: int = 20) -> str:
    """Last lines of a log, or an empty text."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 16_384))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
