"""What the command line needs to know of a house in the test's own process."""

from house import House
from kit.settings import SERVICES


def environ_of(house: House) -> dict[str, str]:
    """LAUREL_* variables of a client."""
    folder = house.settings.cert_dir
    return {
        **{f"LAUREL_{name.upper()}_ADDR": house.settings.addr(name) for name in SERVICES},
        "LAUREL_CA": str(folder / "ca.crt"),
        "LAUREL_CERT": str(folder / "admin.crt"),
        "LAUREL_KEY": str(folder / "admin.key"),
    }
