"""The command `laurel`: a list of its commands, each in a module of its own, loaded when called."""

import logging
import os
import sys
from collections.abc import Sequence

from cyclopts import App

app = App(name="laurel", help="Laurel, a loyalty platform: run it, look at it, work with it.")
app.command("cli.up:up", name="up", help="Run everything on this machine.")
app.command("cli.up:down", name="down", help="End what `up --detach` started.")
app.command(
    "cli.status:status", name="status", help="Say what runs, where, and whether it is ready."
)
app.command("cli.serve:serve", name="serve", help="Serve one or more services in this process.")
app.command("cli.serve:bootstrap", name="bootstrap", help="Make or update schemas and roles.")
app.command("cli.serve:certificates", name="certificates", help="Make a throw-away CA.")
app.command("cli.check:check", name="check", help="Verify the invariants on a live database.")
app.command(
    "cli.program:program", name="program", help="Apply, show, compare and validate programs."
)
app.command("cli.replay:replay", name="replay", help="Replay a CSV file of orders.")
app.command("cli.imports:import_app", name="import", help="Bring balances and history.")
app.command("cli.member:member", name="member", help="Look at members.")
app.command(
    "cli.fraud:fraud", name="fraud", help="Try draft rules of anti-fraud on the past, and measure."
)
app.command("cli.demo:demo", name="demo", help="Tell the story of 69,659 real orders.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; a mistake of the caller ends it with status 2 and one message."""
    # Connections that end are no news: asyncio says so at every end of TLS.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    try:
        try:
            app(arguments)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever reads has seen enough, as `head` has; nothing is left to be said at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        mistakes = _mistakes(error)
        if not mistakes:
            raise
        for mistake in dict.fromkeys(mistakes):
            print(f"laurel: {mistake}", file=sys.stderr)
        sys.exit(2)


def _mistakes(error: Exception) -> list[str]:
    """What the caller can mend, of several at once each; none where something else is among it."""
    if isinstance(error, ExceptionGroup):
        parts = [_mistakes(part) for part in error.exceptions]
        return [mistake for part in parts for mistake in part] if all(parts) else []
    if isinstance(error, UnicodeEncodeError):
        # An argument with bytes that are none: the contract takes no such text.
        return [f"{error.object!r} is not UTF-8"]
    return [str(error)] if _is_users(error) else []


def _is_users(error: Exception) -> bool:
    # Imported here: these modules are heavy, and `laurel --help` needs none of them.
    from cli.errors import UserError
    from kit.auth import PolicyInvalid
    from kit.migrate import MigrationChanged
    from kit.native import NativeMissing
    from kit.server import CannotStart
    from kit.settings import SettingsInvalid

    of_setup = PolicyInvalid | NativeMissing | CannotStart | MigrationChanged
    return isinstance(error, UserError | SettingsInvalid | of_setup)


if __name__ == "__main__":
    main()
