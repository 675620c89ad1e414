"""Where the services are, for commands that call them."""

import os
from collections.abc import Mapping
from pathlib import Path

from cli.errors import UserError
from cli.state import DEFAULT_DATA, read_env, supervisor_of
from kit.settings import SERVICES


def client_env(
    data: Path = DEFAULT_DATA, environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """LAUREL_* variables of the environment, or of the house that runs on the data folder.

    The environment wins when it names any service's address; a variable of it that the house
    does not set is kept. `UserError` when neither says where the services are.
    """
    known = {key: value for key, value in (environ or os.environ).items() if key[:7] == "LAUREL_"}
    # A service's own: others, such as that of somebody else's engine, say nothing of where we are.
    if any(f"LAUREL_{name.upper()}_ADDR" in known for name in SERVICES):
        return known
    if supervisor_of(data) is None:
        raise UserError(
            f"no house runs on {data}: start one with `laurel up`, or set LAUREL_*_ADDR"
        )
    return {**known, **read_env(data)}
