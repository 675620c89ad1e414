"""Each rule of the sample program fires on what it is for, and spares what looks alike (AF-02)."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from house import SAMPLE, Ground, House, new_id
from rules.document import load
from scenarios.driver import ALLOW, Driver, Verdict
from scenarios.playing import fired_rules, open_desk
from scenarios.stream import (
    CHECK_IN,
    GIFT,
    LOG_IN,
    ORDER,
    PROFILE_CHANGE,
    PURCHASE,
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
                NOON + after * MINUTE, self.name(member), "", False, kind, points,
                self.place(**place), cents, self.name(order), self.name(receiver),  # type: ignore[arg-type]
            )  # fmt: skip
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


@tells("large_purchase", fires=True)
def a_purchase_of_1200(tale: Tale) -> None:
    tale.does("a", PURCHASE, dollars=1200)


@tells("large_purchase", fires=False)
def a_purchase_of_900(tale: Tale) -> None:
    tale.does("a", PURCHASE, dollars=900)


@tells("absurd_purchase", fires=True)
def a_purchase_of_12000(tale: Tale) -> None:
    tale.does("a", PURCHASE, dollars=12_000)


@tells("absurd_purchase", fires=False)
def a_purchase_of_30(tale: Tale) -> None:
    tale.does("a", PURCHASE, dollars=30)


@tells("many_purchases", fires=True)
def thirty_purchases_in_an_hour(tale: Tale) -> None:
    for n in range(30):
        tale.does("a", PURCHASE, n, dollars=30)


@tells("many_purchases", fires=False)
def sixteen_orders_of_one_day_imported(tale: Tale) -> None:
    for _ in range(16):
        tale.does("a", PURCHASE, dollars=30)


@tells("large_redemption", fires=True)
def an_order_for_60000_points(tale: Tale) -> None:
    tale.does("a", ORDER, points=60_000)


@tells("large_redemption", fires=False)
def an_order_for_2000_points(tale: Tale) -> None:
    tale.does("a", ORDER, points=2000)


@tells("draining_account", fires=True)
def fifteen_orders_in_an_hour(tale: Tale) -> None:
    for n in range(15):
        tale.does("a", ORDER, n)


@tells("draining_account", fires=False)
def three_orders_in_an_hour(tale: Tale) -> None:
    for n in range(3):
        tale.does("a", ORDER, n)


@tells("check_in_burst", fires=True)
def ten_check_ins_in_a_minute(tale: Tale) -> None:
    for n in range(10):
        tale.does("a", CHECK_IN, n / 10)


@tells("check_in_burst", fires=False)
def a_check_in_tapped_twice_and_three_reviews(tale: Tale) -> None:
    for n, kind in enumerate([CHECK_IN, "review", "review", "review", CHECK_IN]):
        tale.does("a", kind, n)


@tells("check_in_burst", fires=False)
def ten_days_in_a_row(tale: Tale) -> None:
    for n in range(10):
        tale.does("a", CHECK_IN, n * DAY)


@tells("busy_device", fires=True)
def six_members_on_one_device_every_minute(tale: Tale) -> None:
    for n in range(40):
        tale.does(f"m{n % 6}", "review", n, device="d")


@tells("busy_device", fires=False)
def a_busy_kiosk(tale: Tale) -> None:
    for n in range(40):
        tale.does(f"m{n % 6}", "review", n, device="d", channel="kiosk")


@tells("busy_device", fires=False)
def a_family_on_one_device(tale: Tale) -> None:
    for n in range(12):
        tale.does(f"m{n % 6}", "review", n, device="d")


@tells("busy_address", fires=True)
def eighty_accounts_behind_one_address(tale: Tale) -> None:
    for n in range(80):
        tale.does(f"m{n}", "share", n / 2, ip="i")


@tells("busy_address", fires=False)
def eighty_colleagues_buy_for_christmas(tale: Tale) -> None:
    for n in range(80):
        tale.does(f"m{n}", PURCHASE, n / 2, dollars=30, ip="i")


@tells("busy_address", fires=False)
def forty_colleagues_check_in(tale: Tale) -> None:
    for n in range(40):
        tale.does(f"m{n}", CHECK_IN, n, ip="i")


@tells("shared_device", fires=True)
def ten_accounts_earn_on_one_device(tale: Tale) -> None:
    for n in range(10):
        tale.does(f"m{n}", CHECK_IN, n * DAY, device="d")


@tells("shared_device", fires=True)
def ten_accounts_spend_on_one_device(tale: Tale) -> None:
    for n in range(10):
        tale.does(f"m{n}", ORDER, n, points=200, device="d")


@tells("shared_device", fires=False)
def a_household_of_six(tale: Tale) -> None:
    for n in range(18):
        tale.does(f"m{n % 6}", CHECK_IN, n * DAY, device="d")


@tells("shared_device", fires=False)
def a_kiosk_of_many(tale: Tale) -> None:
    for n in range(10):
        tale.does(f"m{n}", CHECK_IN, n * DAY, device="d", channel="kiosk")


@tells("same_order", fires=True)
def a_receipt_claimed_by_two(tale: Tale) -> None:
    for n in range(2):
        tale.does(f"m{n}", PURCHASE, n * DAY, dollars=80, store="s", order="o")


@tells("same_order", fires=False)
def an_order_in_two_parcels(tale: Tale) -> None:
    for n in range(2):
        tale.does("a", PURCHASE, n * DAY, dollars=80, store="s", order="o")


@tells("same_order", fires=False)
def two_stores_with_one_number(tale: Tale) -> None:
    for n in range(2):
        tale.does(f"m{n}", PURCHASE, n * DAY, dollars=80, store=f"s{n}", order="o")


@tells("round_numbers", fires=True)
def five_gift_cards(tale: Tale) -> None:
    for n, dollars in enumerate([50, 100, 100, 25, 50]):
        tale.does("a", PURCHASE, n * HOUR, dollars=dollars, store="s")


@tells("round_numbers", fires=False)
def five_records(tale: Tale) -> None:
    for n, dollars in enumerate([50, 14.97, 22.49, 12.99, 29.98]):
        tale.does("a", PURCHASE, n * HOUR, dollars=dollars, store="s")


@tells("round_numbers", fires=False)
def a_gift_card_a_month(tale: Tale) -> None:
    for n in range(5):
        tale.does("a", PURCHASE, n * 30 * DAY, dollars=50, store="s")


@tells("many_cards", fires=True)
def eight_cards_on_one_device(tale: Tale) -> None:
    for n in range(8):
        tale.does("a", PURCHASE, n * HOUR, dollars=90, device="d", card=f"c{n}")


@tells("many_cards", fires=False)
def a_couple_with_three_cards(tale: Tale) -> None:
    for n in range(9):
        tale.does(f"m{n % 2}", PURCHASE, n * HOUR, dollars=30, device="d", card=f"c{n % 3}")


@tells("shared_card", fires=True)
def a_card_that_was_sold(tale: Tale) -> None:
    for n in range(6):
        tale.does(f"m{n}", PURCHASE, n * HOUR, dollars=90, device=f"d{n}", card="c")


@tells("shared_card", fires=False)
def a_card_of_three(tale: Tale) -> None:
    for n in range(9):
        tale.does(f"m{n % 3}", PURCHASE, n * HOUR, dollars=30, card="c")


@tells("self_service", fires=True)
def a_clerk_serves_themselves(tale: Tale) -> None:
    tale.does("a", PURCHASE, dollars=30, store="s", staff="a")


@tells("self_service", fires=False)
def a_clerk_serves_another(tale: Tale) -> None:
    tale.does("a", PURCHASE, dollars=30, store="s", staff="b")


@tells("self_service", fires=False)
def nobody_serves(tale: Tale) -> None:
    tale.does("a", PURCHASE, dollars=30, store="s")


@tells("favoured_member", fires=True)
def a_friend_all_day(tale: Tale) -> None:
    for n in range(6):
        tale.does("a", PURCHASE, n * HOUR, dollars=30, staff="b")


@tells("favoured_member", fires=True)
def a_friend_all_month(tale: Tale) -> None:
    for n in range(14):
        tale.does("a", PURCHASE, n * 2 * DAY, dollars=30, staff="b")


@tells("favoured_member", fires=False)
def a_regular_served_by_three(tale: Tale) -> None:
    for n in range(12):
        tale.does("a", PURCHASE, n * 2 * DAY, dollars=30, staff=f"b{n % 3}")


@tells("impossible_travel", fires=True)
def boston_and_denver_within_an_hour(tale: Tale) -> None:
    tale.does("a", PURCHASE, dollars=30, location=BOSTON)
    tale.does("a", PURCHASE, HOUR, dollars=30, location=DENVER)


@tells("impossible_travel", fires=False)
def boston_and_denver_by_plane(tale: Tale) -> None:
    tale.does("a", PURCHASE, dollars=30, location=BOSTON)
    tale.does("a", PURCHASE, 8 * HOUR, dollars=30, location=DENVER)


@tells("impossible_travel", fires=False)
def a_phone_that_jumps_to_the_next_town(tale: Tale) -> None:
    tale.does("a", PURCHASE, dollars=30, location=BOSTON)
    tale.does("a", PURCHASE, 0.5, dollars=30, location=SALEM)


@tells("impossible_travel_spending", fires=True)
def spent_in_denver_within_an_hour(tale: Tale) -> None:
    tale.does("a", ORDER, points=200, location=BOSTON)
    tale.does("a", ORDER, HOUR, points=200, location=DENVER)


@tells("impossible_travel_spending", fires=False)
def spent_in_denver_on_the_next_day(tale: Tale) -> None:
    tale.does("a", ORDER, points=200, location=BOSTON)
    tale.does("a", ORDER, DAY, points=200, location=DENVER)


@tells("spending_after_profile_change", fires=True)
def spent_minutes_after_a_change(tale: Tale) -> None:
    tale.reports("a", PROFILE_CHANGE, 0, device="d")
    tale.does("a", ORDER, 5, points=200, device="d")


@tells("spending_after_profile_change", fires=False)
def spent_days_after_a_change(tale: Tale) -> None:
    tale.reports("a", PROFILE_CHANGE, 0, device="d")
    tale.does("a", ORDER, 3 * DAY, points=200, device="d")


@tells("spending_from_new_device", fires=True)
def spent_minutes_after_a_new_device(tale: Tale) -> None:
    tale.reports("a", LOG_IN, 0, device="old")
    tale.reports("a", LOG_IN, 9 * DAY, device="new")
    tale.does("a", ORDER, 9 * DAY + 5, points=150, device="new")


@tells("spending_from_new_device", fires=False)
def spent_from_the_first_device(tale: Tale) -> None:
    tale.reports("a", LOG_IN, 0, device="only")
    tale.does("a", ORDER, 5, points=150, device="only")


@tells("spending_from_new_device", fires=False)
def spent_a_little_days_after_a_new_device(tale: Tale) -> None:
    tale.reports("a", LOG_IN, 0, device="old")
    tale.reports("a", LOG_IN, 9 * DAY, device="new")
    tale.does("a", ORDER, 12 * DAY, points=150, device="new")


@tells("drained_after_new_device", fires=True)
def drained_days_after_a_new_device(tale: Tale) -> None:
    tale.reports("a", LOG_IN, 0, device="old")
    tale.reports("a", LOG_IN, 9 * DAY, device="new")
    for n in range(3):
        tale.does("a", ORDER, 12 * DAY + n, points=300, device="new")


@tells("drained_after_new_device", fires=False)
def spent_weeks_after_a_new_device(tale: Tale) -> None:
    tale.reports("a", LOG_IN, 0, device="old")
    tale.reports("a", LOG_IN, 9 * DAY, device="new")
    for n in range(3):
        tale.does("a", ORDER, 30 * DAY + n, points=300, device="new")


@tells("new_account_spending", fires=True)
def three_thousand_points_of_a_young_account(tale: Tale) -> None:
    tale.joins("a")
    tale.does("a", ORDER, 2 * DAY, points=3000)


@tells("new_account_spending", fires=False)
def a_welcome_gift_spent_by_a_young_account(tale: Tale) -> None:
    tale.joins("a")
    tale.does("a", ORDER, 2 * DAY, points=200)


@tells("new_account_spending", fires=False)
def three_thousand_points_of_an_old_account(tale: Tale) -> None:
    tale.joins("a")
    tale.does("a", ORDER, 200 * DAY, points=3000)


@tells("refund_abuse", fires=True)
def spent_after_three_of_four_orders_came_back(tale: Tale) -> None:
    for n in range(4):
        tale.does("a", PURCHASE, n * DAY, dollars=100)
    for n in range(3):
        tale.returns("a", (10 + n) * DAY, dollars=100)
    tale.does("a", ORDER, 20 * DAY, points=200)


@tells("refund_abuse", fires=False)
def spent_after_two_of_eight_orders_came_back(tale: Tale) -> None:
    for n in range(8):
        tale.does("a", PURCHASE, n * DAY, dollars=100)
    for n in range(2):
        tale.returns("a", (10 + n) * DAY, dollars=100)
    tale.does("a", ORDER, 20 * DAY, points=200)


@tells("gift_circle", fires=True)
def three_give_in_a_circle(tale: Tale) -> None:
    for n, (giver, receiver) in enumerate([("a", "b"), ("b", "c"), ("c", "a")]):
        tale.does(giver, GIFT, n * HOUR, points=200, receiver=receiver)


@tells("gift_circle", fires=False)
def three_give_in_a_row(tale: Tale) -> None:
    for n, (giver, receiver) in enumerate([("a", "b"), ("b", "c"), ("c", "d")]):
        tale.does(giver, GIFT, n * HOUR, points=200, receiver=receiver)


@tells("gift_circle", fires=False)
def a_couple_at_two_birthdays(tale: Tale) -> None:
    tale.does("a", GIFT, 0, points=200, receiver="b")
    tale.does("b", GIFT, 90 * DAY, points=200, receiver="a")


@tells("gift_funnel", fires=True)
def six_give_to_one(tale: Tale) -> None:
    for n in range(6):
        tale.does(f"m{n}", GIFT, n * HOUR, points=200, receiver="a")


@tells("gift_funnel", fires=False)
def a_family_gives_to_one(tale: Tale) -> None:
    for n in range(6):
        tale.does(f"m{n % 3}", GIFT, n * HOUR, points=200, receiver="a")


@pytest.fixture(scope="module")
async def default_house(ground: Ground) -> AsyncIterator[House]:
    """Anti-fraud with the sample program."""
    async with ground.house() as house:
        await open_desk(house)
        yield house


def cases(*, fires: bool) -> list[tuple[str, Teller]]:
    """The tales that make their rule fire, or those that do not."""
    return [(rule, teller) for (rule, _, fired), teller in CASES.items() if fired == fires]


async def last(house: House, teller: Teller) -> tuple[Verdict, list[str]]:
    """The verdict on the last deed of a tale, and the rules that fired."""
    tale = Tale()
    teller(tale)
    verdicts = await Driver(house).play(tale.told)
    fired = await fired_rules(house, verdicts[-1:])
    return verdicts[-1], [name for _, names in fired for name in names]


def titles(found: list[tuple[str, Teller]]) -> list[str]:
    """How tests are named."""
    return [f"{rule}-{teller.__name__}" for rule, teller in found]


@pytest.mark.parametrize(("rule", "teller"), cases(fires=True), ids=titles(cases(fires=True)))
async def test_a_default_rule_fires(default_house: House, rule: str, teller: Teller) -> None:
    """AF-02: and what it fires on does not pass."""
    verdict, fired = await last(default_house, teller)
    assert rule in fired
    assert verdict.action != ALLOW


@pytest.mark.parametrize(("rule", "teller"), cases(fires=False), ids=titles(cases(fires=False)))
async def test_a_default_rule_spares_what_looks_alike(
    default_house: House, rule: str, teller: Teller
) -> None:
    """AF-02: neither this rule nor another minds it."""
    verdict, fired = await last(default_house, teller)
    assert fired == []
    assert verdict.action == ALLOW


def test_every_default_rule_has_a_tale_for_both() -> None:
    rules = [rule.name for rule in load(SAMPLE.read_text()).program.antifraud.rules]
    assert rules == list(dict.fromkeys(rule for rule, _, fires in CASES if fires))
    assert rules == list(dict.fromkeys(rule for rule, _, fires in CASES if not fires))
