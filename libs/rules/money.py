"""Currencies of ISO 4217 and exact arithmetic on decimals that are kept as text."""

from collections.abc import Mapping
from types import MappingProxyType

_TWO_DIGITS = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD "
    "CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL "
    "GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR "
    "LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD "
    "PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC "
    "SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UZS VED VES WST XAD XCD XCG YER ZAR ZMW "
    "ZWG"
)
_BY_DIGITS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: _TWO_DIGITS + " UYU",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}

# Digits after the point of every currency that ISO 4217 gives a minor unit.
MINOR_UNITS: Mapping[str, int] = MappingProxyType(
    {code: digits for digits, codes in _BY_DIGITS.items() for code in codes.split()}
)


def scaled(text: str, digits: int) -> int:
    """Returns the decimal `text`, 0 or more, times 10**digits; ValueError when not whole."""
    whole, _, fraction = text.partition(".")
    kept, lost = fraction[:digits], fraction[digits:]
    if lost.strip("0"):
        raise ValueError(f"{text} has more than {digits} decimals")
    return int(whole + kept.ljust(digits, "0"))


def decimal_text(value: int, digits: int) -> str:
    """Returns `value` / 10**digits as a decimal without needless zeros, such as `-0.5`."""
    whole, fraction = divmod(abs(value), 10**digits)
    sign = "-" if value < 0 else ""
    if not fraction:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{fraction:0{digits}d}".rstrip("0")
