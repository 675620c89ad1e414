"""What the rules on earning are for, and what looks alike: each tale is said by its name."""

from tale import DAY, HOUR, Tale, tells

from scenarios.stream import CHECK_IN, ORDER, PURCHASE


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
def an_order_for_300_points(tale: Tale) -> None:
    tale.does("a", ORDER, points=300)


@tells("draining_account", fires=True)
def fifteen_orders_in_an_hour(tale: Tale) -> None:
    for n in range(15):
        tale.does("a", ORDER, n)


@tells("draining_account", fires=False)
def two_orders_in_an_hour(tale: Tale) -> None:
    for n in range(2):
        tale.does("a", ORDER, n)


@tells("check_in_burst", fires=True)
def ten_check_ins_in_a_minute(tale: Tale) -> None:
    for n in range(10):
        tale.does("a", CHECK_IN, n / 10)


@tells("check_in_burst", fires=False)
def a_check_in_tapped_twice_and_three_reviews(tale: Tale) -> None:
    for n, kind in enumerate([CHECK_IN, CHECK_IN, "review", "review", "review"]):
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
def three_on_one_device(tale: Tale) -> None:
    for n in range(12):
        tale.does(f"m{n % 3}", "review", n, device="d")


@tells("busy_address", fires=True)
def eighty_accounts_behind_one_address(tale: Tale) -> None:
    for n in range(80):
        tale.does(f"m{n}", "share", n / 2, ip="i")


@tells("busy_address", fires=True)
def forty_accounts_spend_behind_one_address(tale: Tale) -> None:
    for n in range(40):
        tale.does(f"m{n}", ORDER, n * HOUR, points=150, ip="i")


@tells("busy_address", fires=False)
def eighty_colleagues_buy_for_christmas(tale: Tale) -> None:
    for n in range(80):
        tale.does(f"m{n}", PURCHASE, n / 2, dollars=30, ip="i")


@tells("busy_address", fires=False)
def eight_colleagues_check_in(tale: Tale) -> None:
    for n in range(8):
        tale.does(f"m{n}", CHECK_IN, n, ip="i")


@tells("shared_device", fires=True)
def ten_accounts_earn_on_one_device(tale: Tale) -> None:
    for n in range(10):
        tale.does(f"m{n}", CHECK_IN, n * DAY, device="d")


@tells("shared_device", fires=True)
def ten_accounts_spend_on_one_device(tale: Tale) -> None:
    for n in range(10):
        tale.does(f"m{n}", ORDER, n, points=200, device="d")


@tells("shared_device", fires=True)
def five_accounts_on_one_device_on_one_day(tale: Tale) -> None:
    for n in range(5):
        tale.does(f"m{n}", CHECK_IN, n * HOUR, device="d")


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


@tells("same_order", fires=True)
def a_receipt_claimed_twice(tale: Tale) -> None:
    for n in range(2):
        tale.does("a", PURCHASE, n * DAY, dollars=80, store="s", order="o")


@tells("same_order", fires=False)
def an_order_in_two_parcels(tale: Tale) -> None:
    for n in range(2):
        tale.does("a", PURCHASE, n * DAY, dollars=80, order="o")


@tells("same_order", fires=False)
def two_stores_with_one_number(tale: Tale) -> None:
    for n in range(2):
        tale.does(f"m{n}", PURCHASE, n * DAY, dollars=80, store=f"s{n}", order="o")


@tells("round_numbers", fires=True)
def five_gift_cards(tale: Tale) -> None:
    for n, dollars in enumerate([50, 100, 100, 25, 50]):
        tale.does("a", PURCHASE, n * HOUR, dollars=dollars, store="s")


@tells("round_numbers", fires=False)
def four_records(tale: Tale) -> None:
    for n, dollars in enumerate([14.97, 22.49, 12.99, 29.98]):
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
def a_couple_with_two_cards(tale: Tale) -> None:
    for n in range(9):
        tale.does(f"m{n % 2}", PURCHASE, n * HOUR, dollars=30, device="d", card=f"c{n % 2}")


@tells("shared_card", fires=True)
def a_card_that_was_sold(tale: Tale) -> None:
    for n in range(6):
        tale.does(f"m{n}", PURCHASE, n * HOUR, dollars=90, device=f"d{n}", card="c")


@tells("shared_card", fires=False)
def a_card_of_two(tale: Tale) -> None:
    for n in range(9):
        tale.does(f"m{n % 2}", PURCHASE, n * HOUR, dollars=30, card="c")


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
