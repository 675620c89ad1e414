"""OP-01: settings are read once, and every mistake in them is told at start."""

import pytest

from kit.settings import SERVICES, SettingsInvalid, load_settings

GIVEN = {
    "LAUREL_DATABASE_URL": "postgresql://localhost/laurel",
    "LAUREL_NATS_URL": "nats://localhost",
    "LAUREL_CERT_DIR": "certificates",
    "LAUREL_POLICY": "policy.yaml",
    **{f"LAUREL_{name.upper()}_ADDR": "127.0.0.1:7000" for name in SERVICES},
}
KEY = "k" * 32


def test_mistakes_of_several_settings_are_told_together() -> None:
    """Each with its variable and what was given; what is right is not mentioned."""
    given = {**GIVEN, "LAUREL_POOL_SIZE": "many", "LAUREL_TIER_ADDR": "nowhere"}
    del given["LAUREL_NATS_URL"]
    with pytest.raises(SettingsInvalid) as refusal:
        load_settings(given)
    heading, *lines = str(refusal.value).splitlines()
    assert heading == "the environment has mistakes:"
    assert [line.partition(":")[0].strip() for line in lines] == [
        "LAUREL_NATS_URL",
        "LAUREL_TIER_ADDR",
        "LAUREL_POOL_SIZE",
    ]
    assert "(got 'nowhere')" in lines[1]
    assert "(got 'many')" in lines[2]


@pytest.mark.parametrize("address", ["127.0.0.1:7443", "127.1.2.3:1", "[::1]:7443"])
def test_a_native_front_listens_on_loopback(address: str) -> None:
    settings = load_settings(
        {**GIVEN, "LAUREL_POINTS_NATIVE_ADDR": address, "LAUREL_NATIVE_KEY": KEY}
    )
    assert settings.native_addr("points") == address
    assert settings.native_addr("tier") is None


@pytest.mark.parametrize("address", ["0.0.0.0:7443", "192.168.0.7:7443", "localhost:7443", "7443"])
def test_any_other_address_is_refused(address: str) -> None:
    given = {**GIVEN, "LAUREL_POINTS_NATIVE_ADDR": address, "LAUREL_NATIVE_KEY": KEY}
    with pytest.raises(SettingsInvalid, match="LAUREL_POINTS_NATIVE_ADDR: "):
        load_settings(given)


def test_a_native_front_needs_a_key() -> None:
    given = {**GIVEN, "LAUREL_POINTS_NATIVE_ADDR": "127.0.0.1:7443"}
    with pytest.raises(SettingsInvalid, match="LAUREL_POINTS_NATIVE_ADDR needs LAUREL_NATIVE_KEY"):
        load_settings(given)


def test_a_short_key_is_refused_and_not_shown() -> None:
    given = {**GIVEN, "LAUREL_POINTS_NATIVE_ADDR": "127.0.0.1:1", "LAUREL_NATIVE_KEY": "short"}
    with pytest.raises(SettingsInvalid, match="LAUREL_NATIVE_KEY: ") as refusal:
        load_settings(given)
    assert "short" not in str(refusal.value)


def test_verifiers_are_named_with_their_addresses() -> None:
    given = {**GIVEN, "LAUREL_VERIFIERS": "bank=10.0.0.1:443, app_2=verify:8443"}
    settings = load_settings(given)
    assert settings.verifier_addrs() == {"bank": "10.0.0.1:443", "app_2": "verify:8443"}
    assert load_settings(GIVEN).verifier_addrs() == {}


@pytest.mark.parametrize("wrong", ["bank", "Bank=a:1", "bank=a", "=a:1", "bank=a:1,bank=b:1"])
def test_a_verifier_that_is_badly_given_is_refused_at_start(wrong: str) -> None:
    with pytest.raises(SettingsInvalid, match="LAUREL_VERIFIERS"):
        load_settings({**GIVEN, "LAUREL_VERIFIERS": wrong})


def test_a_key_of_codes_is_long_and_never_shown() -> None:
    with pytest.raises(SettingsInvalid, match="LAUREL_CODE_KEY: ") as refusal:
        load_settings({**GIVEN, "LAUREL_CODE_KEY": "short-secret"})
    assert "short-secret" not in str(refusal.value)
    assert "its-own-long-secret" not in repr(
        load_settings({**GIVEN, "LAUREL_CODE_KEY": "its-own-long-secret-of-32-letters"})
    )
