"""OP-01: the commands that start and end things, as a user types them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from house import SAMPLE
from kit.settings import SERVICES


def laurel(*arguments: str, cwd: Path, status: int = 0) -> str:
    """What a command prints, once it has ended with a status."""
    ended = subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        cwd=cwd, capture_output=True, text=True, check=False, timeout=240,
        env={"PATH": os.environ["PATH"], "COLUMNS": "200"},
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


def show_jane(folder: Path) -> Any:
    """What `laurel member show` says of her."""
    return json.loads(laurel("member", "show", "jane", "--json", cwd=folder))


def runs(pid: int) -> bool:
    """Whether a process is alive."""
    return Path(f"/proc/{pid}").exists()


def test_the_demo_tells_its_story_and_leaves_nothing_running(folder: Path) -> None:
    """The same story of fewer customers."""
    said = laurel("demo", "--customers", "1500", cwd=folder)
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


def test_a_demo_of_too_few_is_refused(folder: Path) -> None:
    assert "give 1,000 or more" in laurel("demo", "--customers", "3", cwd=folder, status=2)
