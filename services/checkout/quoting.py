"""Quotes: asks who knows, prices, and keeps the result (CK-01). Changes no balance."""

from collections.abc import Callable
from datetime import timedelta

from checkout.claims import Claim
from checkout.pricing import Cart, price
from checkout.remote import Remote
from checkout.store import CheckoutStore, Render
from checkout.values import Quote
from kit.clock import Clock, NewId
from rules.compiled import CompiledProgram
from rules.feed import ProgramFeed


class Quoter:
    """Makes quotes."""

    def __init__(
        self, store: CheckoutStore, remote: Remote, feed: ProgramFeed, clock: Clock, new_id: NewId
    ) -> None:
        self._store = store
        self._remote = remote
        self._feed = feed
        self._clock = clock
        self._new_id = new_id

    async def quote(
        self, claim: Claim, parse: Callable[[CompiledProgram], Cart], render: Render
    ) -> bytes:
        """Quotes a cart, once for each request; `parse` reads it by the program in force.

        Raises what `parse` raises, RequestIdReused, AmountInvalid, NoProgram or StepUnfinished.
        """
        # A repeat gets its answer even where the others are away, or a coupon is gone by now.
        known = await self._store.find_answer(claim)
        if known is not None:
            return known
        history = await self._feed.ensure()
        now = self._clock()
        program = history.in_force(now)
        cart = parse(program)
        standing = await self._remote.standing(
            cart.member_id, cart.lines_minor, cart.entitlement_ids,
            program.currency, program.minor_digits,
        )  # fmt: skip
        priced = price(cart, standing, program, now)
        quote = Quote(
            checkout_id=self._new_id(),
            currency=program.currency,
            currency_digits=program.minor_digits,
            hold_minutes=program.redemption.hold_minutes,
            create_time=now,
            expire_time=now + timedelta(minutes=program.redemption.quote_minutes),
        )
        return await self._store.add(claim, quote, cart, priced, render)
