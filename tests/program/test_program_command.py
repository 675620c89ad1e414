"""`laurel program`, in a process of its own."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from house import SAMPLE, Ground, House


class Command:
    """Runs `laurel program ...` against a house."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._environ = environ

    async def __call__(self, *arguments: str | Path) -> tuple[int, str, str]:
        """Exit code, output and errors."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli.main", "program", *map(str, arguments),
            env=self._environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()


@pytest.fixture
async def house_of_its_own(ground: Ground) -> AsyncIterator[House]:
    async with ground.house() as house:
        await house.start("program")
        yield house


@pytest.fixture
def laurel(house_of_its_own: House) -> Command:
    settings = house_of_its_own.settings
    certificate = settings.cert_dir / "operator"
    environ = {f"LAUREL_{key.upper()}": str(value) for key, value in settings if value is not None}
    return Command(
        {
            **os.environ,
            **environ,
            "COLUMNS": "200",
            "LAUREL_CA": str(settings.cert_dir / "ca.crt"),
            "LAUREL_CERT": f"{certificate}.crt",
            "LAUREL_KEY": f"{certificate}.key",
        }
    )


@pytest.fixture
def offline() -> Command:
    return Command({k: v for k, v in os.environ.items() if not k.startswith("LAUREL_")})


async def test_pg_01_validate_needs_no_server_and_tells_every_mistake(
    offline: Command, tmp_path: Path
) -> None:
    code, out, _ = await offline("validate", SAMPLE)
    assert (code, out) == (0, f"{SAMPLE} is valid\n")
    wrong = tmp_path / "wrong.yaml"
    text = SAMPLE.read_text().replace("currency: USD", "currency: US").replace("half_up", "up")
    wrong.write_text(text)
    code, out, _ = await offline("validate", wrong)
    assert code == 1
    line = text.splitlines().index("currency: US") + 1
    first, second = out.splitlines()
    assert first.startswith(f"{wrong}:{line}:1: currency: is US; ")
    assert ": earning.rounding: " in second


async def test_a_file_that_is_not_there_is_one_clear_message(
    offline: Command, tmp_path: Path
) -> None:
    code, _, err = await offline("validate", tmp_path / "nothing.yaml")
    assert code == 2
    assert "cannot be read" in err
    assert len(err.splitlines()) == 1


async def test_pg_02_a_program_is_applied_shown_compared_and_listed(
    laurel: Command, tmp_path: Path
) -> None:
    past = ("--effective", "1997-01-01T00:00:00Z")
    code, out, err = await laurel("apply", SAMPLE, "--reason", "the first", *past)
    assert (code, err) == (0, "")
    assert out.endswith("version 1 decides from 1997-01-01 00:00:00Z on\n")

    second = tmp_path / "second.yaml"
    second.write_text(SAMPLE.read_text().replace("pending_days: 14", "pending_days: 7"))
    change = "earning.pending_days: 14 -> 7\n"
    assert await laurel("diff", second) == (0, change, "")
    code, out, _ = await laurel("apply", second, "--reason", "faster", "--expected-version", "1")
    assert out.startswith(change + "version 2 decides from ")
    assert await laurel("diff", second) == (0, "no difference\n", "")

    assert await laurel("show", "--version", "1") == (0, SAMPLE.read_text(), "")
    assert await laurel("show") == (0, second.read_text(), "")
    code, out, _ = await laurel("history")
    assert out.index("faster") < out.index("the first")
    assert "operator" in out


async def test_pg_02_a_text_of_several_lines_is_compared_on_one(
    laurel: Command, tmp_path: Path
) -> None:
    await laurel("apply", SAMPLE)
    changed = tmp_path / "changed.yaml"
    changed.write_text(SAMPLE.read_text().replace("Spend them on", "Spend them\n      on"))
    code, out, _ = await laurel("diff", changed)
    assert code == 0
    path, _, rest = out.partition(": ")
    assert path == "messages[points_expiring].body"
    assert "\\nSpend them on your" in rest
    assert "\\nSpend them\\non your" in rest
    assert len(out.splitlines()) == 1


async def test_what_the_service_refuses_is_one_clear_message(
    laurel: Command, tmp_path: Path
) -> None:
    code, _, err = await laurel("show")
    assert code == 2
    assert "PROGRAM_NOT_FOUND" in err
    code, _, err = await laurel("apply", SAMPLE, "--reason", "late", "--effective", "1997-01-01")
    assert code == 2
    assert "no time with a zone" in err
    code, _, err = await laurel("apply", SAMPLE, "--reason", "stale", "--expected-version", "3")
    assert code == 2
    assert "PROGRAM_VERSION_CHANGED" in err
