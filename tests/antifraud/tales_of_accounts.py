"""What the rules on accounts, goods and gifts are for, and what looks alike."""

from tale import BOSTON, DAY, DENVER, HOUR, SALEM, Tale, tells

from scenarios.stream import GIFT, LOG_IN, ORDER, PROFILE_CHANGE, PURCHASE


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


@tells("impossible_travel_to_spend", fires=True)
def spent_in_denver_within_an_hour(tale: Tale) -> None:
    tale.does("a", ORDER, points=200, location=BOSTON)
    tale.does("a", ORDER, HOUR, points=200, location=DENVER)


@tells("impossible_travel_to_spend", fires=False)
def spent_in_denver_on_the_next_day(tale: Tale) -> None:
    tale.does("a", ORDER, points=200, location=BOSTON)
    tale.does("a", ORDER, DAY, points=200, location=DENVER)


@tells("after_profile_change", fires=True)
def spent_minutes_after_a_change(tale: Tale) -> None:
    tale.reports("a", PROFILE_CHANGE, 0, device="d")
    tale.does("a", ORDER, 5, points=200, device="d")


@tells("after_profile_change", fires=False)
def spent_a_week_after_a_change(tale: Tale) -> None:
    tale.reports("a", PROFILE_CHANGE, 0, device="d")
    tale.does("a", ORDER, 7 * DAY, points=200, device="d")


@tells("from_new_device", fires=True)
def spent_minutes_after_a_new_device(tale: Tale) -> None:
    tale.reports("a", LOG_IN, 0, device="old")
    tale.reports("a", LOG_IN, 9 * DAY, device="new")
    tale.does("a", ORDER, 9 * DAY + 5, points=200, device="new")


@tells("from_new_device", fires=False)
def spent_from_the_first_device(tale: Tale) -> None:
    tale.reports("a", LOG_IN, 0, device="only")
    tale.does("a", ORDER, 5, points=150, device="only")


@tells("from_new_device", fires=False)
def spent_a_little_days_after_a_new_device(tale: Tale) -> None:
    tale.reports("a", LOG_IN, 0, device="old")
    tale.reports("a", LOG_IN, 9 * DAY, device="new")
    tale.does("a", ORDER, 12 * DAY, points=150, device="new")


@tells("drained_after_new_device", fires=True)
def drained_days_after_a_new_device(tale: Tale) -> None:
    tale.reports("a", LOG_IN, 0, device="old")
    tale.reports("a", LOG_IN, 9 * DAY, device="new")
    tale.does("a", ORDER, 12 * DAY, points=400, device="new")


@tells("drained_after_new_device", fires=True)
def taken_in_pieces_days_after_a_new_device(tale: Tale) -> None:
    tale.reports("a", LOG_IN, 0, device="old")
    tale.reports("a", LOG_IN, 9 * DAY, device="new")
    for n in range(2):
        tale.does("a", ORDER, 12 * DAY + n, points=120, device="new")


@tells("drained_after_new_device", fires=False)
def spent_weeks_after_a_new_device(tale: Tale) -> None:
    tale.reports("a", LOG_IN, 0, device="old")
    tale.reports("a", LOG_IN, 9 * DAY, device="new")
    for n in range(2):
        tale.does("a", ORDER, 30 * DAY + n, points=200, device="new")


@tells("large_spending", fires=True)
def six_hundred_points_in_two_pieces(tale: Tale) -> None:
    for n in range(2):
        tale.does("a", ORDER, n, points=300)


@tells("large_spending", fires=False)
def six_hundred_points_on_two_days(tale: Tale) -> None:
    for n in range(2):
        tale.does("a", ORDER, n * 2 * DAY, points=300)


@tells("hasty_spending", fires=True)
def spent_four_times_on_one_day(tale: Tale) -> None:
    for n in range(4):
        tale.does("a", ORDER, n * HOUR, points=150)


@tells("hasty_spending", fires=False)
def spent_every_other_day(tale: Tale) -> None:
    for n in range(4):
        tale.does("a", ORDER, n * 2 * DAY, points=150)


@tells("new_account_spending", fires=True)
def three_thousand_points_of_a_young_account(tale: Tale) -> None:
    tale.joins("a")
    tale.does("a", ORDER, 2 * DAY, points=3000)


@tells("new_account_spending", fires=True)
def three_thousand_points_in_pieces(tale: Tale) -> None:
    tale.joins("a")
    for n in range(10):
        tale.does("a", ORDER, 20 * DAY + n * HOUR, points=300)


@tells("new_account_spending", fires=True)
def spent_before_anything_could_be_earned(tale: Tale) -> None:
    tale.joins("a")
    tale.does("a", ORDER, 2 * DAY, points=200)


@tells("new_account_spending", fires=True)
def given_away_in_the_third_week(tale: Tale) -> None:
    tale.joins("a")
    tale.joins("b")
    tale.does("a", GIFT, 20 * DAY, points=200, receiver="b")


@tells("new_account_spending", fires=False)
def a_first_spending_after_three_weeks(tale: Tale) -> None:
    tale.joins("a")
    tale.does("a", ORDER, 20 * DAY, points=300)


@tells("new_account_spending", fires=False)
def four_hundred_points_of_an_old_account(tale: Tale) -> None:
    tale.joins("a")
    tale.does("a", ORDER, 200 * DAY, points=400)


@tells("refund_abuse", fires=True)
def spent_after_three_of_four_orders_came_back(tale: Tale) -> None:
    for n in range(4):
        tale.does("a", PURCHASE, n * DAY, dollars=100)
    for n in range(3):
        tale.returns("a", (10 + n) * DAY, dollars=100)
    tale.does("a", ORDER, 20 * DAY, points=200)


@tells("refund_abuse", fires=False)
def spent_after_an_order_came_back(tale: Tale) -> None:
    for n in range(4):
        tale.does("a", PURCHASE, n * DAY, dollars=90)
    tale.returns("a", 10 * DAY, dollars=90)
    tale.does("a", ORDER, 20 * DAY, points=200)


@tells("refund_abuse_to_earn", fires=True)
def bought_after_three_of_four_orders_came_back(tale: Tale) -> None:
    for n in range(4):
        tale.does("a", PURCHASE, n * DAY, dollars=200)
    for n in range(3):
        tale.returns("a", (10 + n) * DAY, dollars=200)
    tale.does("a", PURCHASE, 20 * DAY, dollars=200, card="c")


@tells("refund_abuse_to_earn", fires=False)
def bought_without_a_card_after_three_came_back(tale: Tale) -> None:
    for n in range(3):
        tale.returns("a", (10 + n) * DAY, dollars=200)
    tale.does("a", PURCHASE, 20 * DAY, dollars=200)


@tells("refund_abuse_to_earn", fires=False)
def a_record_bought_after_three_came_back(tale: Tale) -> None:
    for n in range(3):
        tale.returns("a", (10 + n) * DAY, dollars=20)
    tale.does("a", PURCHASE, 20 * DAY, dollars=20, card="c")


@tells("refund_abuse_to_earn", fires=False)
def returns_of_last_year(tale: Tale) -> None:
    for n in range(3):
        tale.returns("a", n * DAY, dollars=200)
    tale.does("a", PURCHASE, 150 * DAY, dollars=200, card="c")


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
def two_give_to_one(tale: Tale) -> None:
    for n in range(6):
        tale.does(f"m{n % 2}", GIFT, n * 2 * DAY, points=200, receiver="a")
