"""OP-01: the commands that start and end things, as a user types them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.authority import ensure_certificates
from cli.state import house_claim
from house import SAMPLE
from kit.settings import SERVICES

NOWHERE = "postgresql://laurel@127.0.0.1:1/elsewhere"


def laurel(*arguments: str, cwd: Path, status: int = 0, **variables: str) -> str:
    """What a command prints, once it has ended with a status."""
    ended = subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        cwd=cwd, capture_output=True, text=True, check=False, timeout=240,
        env={"PATH": os.environ["PATH"], "COLUMNS": "200", **variables},
    )  # fmt: skip
    assert ended.returncode == status, (arguments, ended.stdout, ended.stderr)
    assert "Traceback" not in ended.stderr
    return ended.stdout + ended.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder to work in; whatever was started in it is ended."""
    yield tmp_path
    laurel("down", cwd=tmp_path)


def test_up_detach_and_down(folder: Path) -> None:
    """It runs on its own, is found by the other commands, ends whole, and keeps what it had."""
    laurel("up", "--detach", cwd=folder)
    parts = json.loads(laurel("status", "--json", cwd=folder))
    assert {part["name"] for part in parts} >= set(SERVICES)
    assert all(part["ready"] for part in parts)
    laurel("program", "apply", str(SAMPLE), "--reason", "the first", cwd=folder)
    orders = folder / "orders.csv"
    orders.write_text("who,day,spent\njane,2026-01-05,50.00\n")
    columns = ("--member", "who", "--time", "day", "--amount", "spent")
    laurel("replay", str(orders), *columns, cwd=folder)
    balances = folder / "balances.csv"
    balances.write_text("member_id,points,earned_time\njane,120,2026-01-05\njohn,-3,2026-01-05\n")
    said = laurel("import", "balances", str(balances), cwd=folder, status=1)
    assert "1 lines booked, 120 points" in said
    assert "3,john" in (folder / "balances.csv.refused.csv").read_text()
    shown = show_jane(folder)
    assert shown["balance"]["active"] == "170"
    assert "already in use" in laurel("up", "--detach", cwd=folder, status=2)

    laurel("down", cwd=folder)
    assert not [part["pid"] for part in parts if runs(part["pid"])]
    laurel("status", cwd=folder, status=1)
    laurel("up", "--detach", cwd=folder)
    assert show_jane(folder) == shown
    laurel("check", cwd=folder)
    # That all holds here must not be taken for an answer about the database that was named.
    said = laurel("check", cwd=folder, status=2, LAUREL_DATABASE_URL=NOWHERE)
    assert "the database cannot be reached" in said


def show_jane(folder: Path) -> Any:
    """What `laurel member show` says of her."""
    return json.loads(laurel("member", "show", "jane", "--json", cwd=folder))


def runs(pid: int) -> bool:
    """Whether a process is alive."""
    return Path(f"/proc/{pid}").exists()


def test_the_demo_tells_its_story_and_leaves_nothing_running(folder: Path) -> None:
    """The same story of fewer customers, whatever the environment names: on nobody else's
    database.
    """
    said = laurel("demo", "--customers", "1500", cwd=folder, LAUREL_DATABASE_URL=NOWHERE)
    for part in ("orders of 1,500 customers", "completed:", "refunded in part:", "refused:"):
        assert part in said
    assert "0 broken" in said
    assert "nothing runs" in laurel("status", "--data", ".laurel/demo", cwd=folder, status=1)


def test_a_house_needs_a_folder(folder: Path) -> None:
    file = folder / "orders.csv"
    file.write_text("member_id,points,earned_time\n")
    commands = (
        ("up",), ("up", "--detach"), ("down",), ("status",), ("check",),
        ("import", "balances", str(file)),
    )  # fmt: skip
    for command in commands:
        said = laurel(*command, "--data", str(file), cwd=folder, status=2)
        assert f"laurel: {file}" in said or f"laurel: the folder {file} cannot be made" in said
    for place in ("/proc/x", str(file), "/proc"):
        assert "cannot be" in laurel("certificates", place, cwd=folder, status=2)
    assert "/proc/x cannot be made" in laurel("up", "--data", "/proc/x", cwd=folder, status=2)


def test_check_needs_no_house_where_the_database_is_named(folder: Path) -> None:
    said = laurel("check", cwd=folder, status=2, LAUREL_DATABASE_URL=NOWHERE)
    assert "the database cannot be reached" in said
    for odd in (
        "nonsense",
        "postgresql://laurel:secret/x@127.0.0.1/x",
        "postgresql://a:b?secret@c/x",
    ):
        assert "secret" not in laurel("check", cwd=folder, status=2, LAUREL_DATABASE_URL=odd)


def test_a_demo_leaves_the_folder_of_another_alone(folder: Path) -> None:
    """Its data would otherwise be deleted while it runs."""
    data = folder / ".laurel" / "demo"
    data.mkdir(parents=True)
    claim = house_claim(data)
    claim.take()
    try:
        said = laurel("demo", cwd=folder, status=2)
    finally:
        claim.free()
    assert f"already in use by process {os.getpid()}" in said
    assert (data / "lock").exists()


@pytest.mark.parametrize("version", ["2147483648", "99999999999999999999", "-1"])
def test_a_version_that_cannot_be_is_told_in_one_message(folder: Path, version: str) -> None:
    commands = (
        ("show", "--version", version),
        ("diff", str(SAMPLE), "--version", version),
        ("apply", str(SAMPLE), "--expected-version", version),
    )
    for command in commands:
        assert "Must be " in laurel("program", *command, cwd=folder, status=2)


def test_who_reads_no_further_ends_a_command_without_a_word(folder: Path) -> None:
    """As `laurel program diff FILE | head -1` does."""
    command = [sys.executable, "-m", "cli.main", "certificates", "certificates"]
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as nobody_reads:
        ended = subprocess.run(
            command, cwd=folder, stdout=nobody_reads, stderr=subprocess.PIPE, check=False
        )
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_an_argument_that_is_no_utf_8_is_told_in_one_message(folder: Path) -> None:
    """Before anybody is asked: the addresses lead nowhere."""
    ensure_certificates(folder, ["admin"])
    names = {"LAUREL_CA": "ca.crt", "LAUREL_CERT": "admin.crt", "LAUREL_KEY": "admin.key"}
    addresses = {f"LAUREL_{name.upper()}_ADDR": "127.0.0.1:1" for name in SERVICES}
    odd = b"m\xff".decode(errors="surrogateescape")
    said = laurel("member", "show", odd, cwd=folder, status=2, **names, **addresses)
    assert "is not UTF-8" in said


def test_a_demo_of_too_few_is_refused(folder: Path) -> None:
    assert "give 1,000 or more" in laurel("demo", "--customers", "3", cwd=folder, status=2)
