"""Tales that make a rule of the sample program fire, or that look alike and do not."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from house import new_id
from scenarios.stream import (
    Deed,
    Enrolment,
    Happening,
    Place,
    Report,
    Return,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR, DAY = 60, 1440
BOSTON, DENVER, SALEM = (42.36, -71.06), (39.74, -104.99), (42.52, -70.90)


@dataclass
class Tale:
    """What happens, told in minutes after noon; the last deed is what the rules are asked about."""

    tag: str = field(default_factory=new_id)
    told: list[Happening] = field(default_factory=list)

    def name(self, short: str) -> str:
        """An id that no other tale uses."""
        return f"{short}-{self.tag}" if short else ""

    def place(
        self, channel: str = "web", location: tuple[float, float] | None = None, **ids: str
    ) -> Place:
        """Where something comes from."""
        named = {key: self.name(value) for key, value in ids.items()}
        return Place(channel=channel, location=location, **named)

    def joins(self, member: str, after: float = 0) -> None:
        self.told.append(Enrolment(NOON + after * MINUTE, self.name(member)))

    def reports(self, member: str, activity: str, after: float, **place: str) -> None:
        when = NOON + after * MINUTE
        self.told.append(Report(when, self.name(member), activity, self.place(**place)))

    def does(
        self, member: str, kind: str, after: float = 0, points: int = 10, dollars: float = 0,
        order: str = "", receiver: str = "", **place: str | tuple[float, float] | None,
    ) -> None:  # fmt: skip
        cents = round(dollars * 100) if dollars else None
        self.told.append(
            Deed(
                NOON + after * MINUTE,
                self.name(member),
                "",
                False,
                kind,
                points,
                self.place(**place),
                cents,
                self.name(order),
                self.name(receiver),  # type: ignore[arg-type]
            )
        )

    def returns(self, member: str, after: float, dollars: float) -> None:
        when = NOON + after * MINUTE
        cents = round(dollars * 100)
        self.told.append(Return(when, self.name(member), "", cents, round(dollars), NOON))


Teller = Callable[[Tale], None]
CASES: dict[tuple[str, str, bool], Teller] = {}
"""By the rule, what happens, and whether it fires."""


def tells(rule: str, *, fires: bool) -> Callable[[Teller], Teller]:
    """Registers a tale."""

    def register(teller: Teller) -> Teller:
        CASES[rule, teller.__name__, fires] = teller
        return teller

    return register
