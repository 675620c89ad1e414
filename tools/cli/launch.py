"""Becomes the given command, after asking the kernel to end it when its parent dies.

Run as a file by a bare interpreter: `launch.py SIGNAL PARENT_PID COMMAND...`. It stands between
parent and command because code that runs between fork and exec must not be Python's.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Asks for the signal at the parent's death where the kernel can, then executes the command."""
    number, parent, command = int(arguments[0]), int(arguments[1]), arguments[2:]
    if sys.platform == "linux":
        if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
            sys.exit("the kernel refused to tie this process to its parent")
        # The parent may have died before the request was made.
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
