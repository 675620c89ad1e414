"""`laurel serve`, `bootstrap` and `certificates`: the steps of a deployment, one each."""

import importlib
import os
from pathlib import Path
from typing import Annotated

import uvloop
from cyclopts import Parameter

from cli.errors import UserError
from kit.settings import SERVICES, load_settings

# gRPC's core hands the bytes of each call from a pool of threads to the one that waits for calls;
# when that one reads for itself, a call costs a quarter less. libs/kit/README.md has the figures.
GRPC_EXPERIMENTS = "-event_engine_listener"


def serve(*services: str) -> None:
    """Serve one or more services in this process until SIGTERM.

    Parameters
    ----------
    services
        Names such as `points`; `all` for every one of them.
    """
    # Read by gRPC once, when it is imported.
    os.environ.setdefault("GRPC_EXPERIMENTS", GRPC_EXPERIMENTS)
    from kit.server import run_services

    names = SERVICES if services == ("all",) else services
    unknown = sorted(set(names) - set(SERVICES))
    if unknown or not names:
        raise UserError(f"name services out of {', '.join(SERVICES)}; got: {', '.join(names)}")
    settings = load_settings()
    wires = {name: importlib.import_module(f"{name}.app").wire for name in names}
    uvloop.run(run_services(wires, settings))


def bootstrap(*, database_url: Annotated[str, Parameter(env_var="LAUREL_DATABASE_URL")]) -> None:
    """Make or update the schemas, roles and tables of every service; safe to repeat.

    Parameters
    ----------
    database_url
        Postgres of a role that may create roles and schemas.
    """
    from cli.supervisor import migrate

    ran = uvloop.run(migrate(database_url))
    print("\n".join(ran) if ran else "nothing to do")


def certificates(folder: Path) -> None:
    """Make a throw-away CA and a certificate for every identity, where missing or about to expire.

    Parameters
    ----------
    folder
        Folder for ca.crt, ca.key and a pair for each identity.
    """
    from cli.authority import IDENTITIES, ensure_certificates

    ensure_certificates(folder)
    print(f"{folder} holds certificates for {', '.join(IDENTITIES)}")
