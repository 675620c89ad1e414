"""Money as whole minor units (cents), never as a float."""

from google.type.money_pb2 import Money

from kit.errors import AmountInvalid, CurrencyMismatch

MINOR_MAX = 10**15
_NANOS = 10**9


def to_minor(money: Money, currency: str, digits: int, field: str = "amount") -> int:
    """Minor units of an amount of 0 or more.

    Raises CurrencyMismatch, or AmountInvalid for one that is negative, malformed, above 10^15 minor
    units or finer than `digits` decimals.
    """
    if money.currency_code != currency:
        raise CurrencyMismatch(field, expected=currency, currency=money.currency_code or "none")
    units, nanos = money.units, money.nanos
    if units < 0 or nanos < 0:
        raise AmountInvalid(
            field, problem=f"{units} units and {nanos} nanos are negative; give 0 or more"
        )
    step = 10 ** (9 - digits)
    if nanos >= _NANOS or nanos % step:
        problem = (
            f"{nanos} nanos are no whole step of {currency}; "
            f"give a multiple of {step} below {_NANOS}"
        )
        raise AmountInvalid(field, problem=problem)
    minor: int = units * 10**digits + nanos // step
    if minor > MINOR_MAX:
        raise AmountInvalid(
            field, problem=f"{units} units are too many; give at most {MINOR_MAX // 10**digits}"
        )
    return minor


def from_minor(minor: int, currency: str, digits: int) -> Money:
    """The Money of an amount in minor units; units and nanos bear the same sign."""
    sign = -1 if minor < 0 else 1
    units, rest = divmod(abs(minor), 10**digits)
    return Money(currency_code=currency, units=sign * units, nanos=sign * rest * 10 ** (9 - digits))


def set_minor(money: Money, minor: int, currency: str, digits: int) -> None:
    """Fills in the Money of an amount of 0 or more in minor units."""
    units, rest = divmod(minor, 10**digits)
    money.currency_code = currency
    money.units = units
    if rest:
        money.nanos = rest * 10 ** (9 - digits)


def show(money: Money) -> str:
    """An amount for people, such as `12.34 USD`."""
    sign = "-" if money.units < 0 or money.nanos < 0 else ""
    return f"{sign}{abs(money.units)}.{abs(money.nanos) // 10**7:02d} {money.currency_code}"
