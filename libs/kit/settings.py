"""Settings by environment, typed; every mistake is reported at start, all at once."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# Keys, and addresses that may have a password in them.
UNSHOWN = frozenset({"NATIVE_KEY", "CODE_KEY", "DATABASE_URL", "NATS_URL", "SMTP_URL"})
VERIFIERS_MAX = 16
_VERIFIER_NAME = re.compile("[a-z][a-z0-9_]{0,62}")
SERVICES = ("program", "antifraud", "points", "tier", "benefits", "notification", "checkout")


def _address(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not (host and colon and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("expected host:port with a port of 1 to 65535")
    return value


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("expected a time with a zone, such as 1998-07-01T00:00:00Z")
    return value.astimezone(UTC)


def _loopback(value: str) -> str:
    if not ip_address(_address(value).rpartition(":")[0].strip("[]")).is_loopback:
        raise ValueError("expected an address of loopback, such as 127.0.0.1:7443: it has no TLS")
    return value


def _verifiers(value: str) -> str:
    names = []
    for part in filter(None, (one.strip() for one in value.split(","))):
        name, equals, address = part.partition("=")
        if not (equals and _VERIFIER_NAME.fullmatch(name)):
            raise ValueError(
                "expected name=host:port, several with commas, such as bank=verify:443"
            )
        _address(address)
        names.append(name)
    if len(names) > VERIFIERS_MAX or len(names) != len(set(names)):
        raise ValueError(f"expected at most {VERIFIERS_MAX} verifiers, each name once")
    return value


Address = Annotated[str, AfterValidator(_address)]
Loopback = Annotated[str, AfterValidator(_loopback)]


class Settings(BaseSettings):
    """What one process of Laurel needs to know. Each field is the variable `LAUREL_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="LAUREL_", extra="ignore", frozen=True)

    database_url: str = Field(
        pattern="^postgres(ql)?://",
        description="Postgres that owns the data; may create roles and schemas at bootstrap",
    )
    nats_url: str = Field(
        pattern="^((nats|tls)://|[^/@]+$)",
        description="NATS server with JetStream; tls:// takes the certificates from cert_dir",
    )
    cert_dir: Path = Field(
        description="Folder with ca.crt and <identity>.crt, <identity>.key for every identity"
    )
    policy: Path = Field(description="File that says which identity may call which method")
    listen_host: str = Field(
        "127.0.0.1", description="Host that servers bind to; the port is that of the address"
    )

    program_addr: Address
    antifraud_addr: Address
    points_addr: Address
    tier_addr: Address
    benefits_addr: Address
    notification_addr: Address
    checkout_addr: Address
    program_admin_addr: Address | None = None
    antifraud_admin_addr: Address | None = None
    points_admin_addr: Address | None = None
    tier_admin_addr: Address | None = None
    benefits_admin_addr: Address | None = None
    notification_admin_addr: Address | None = None
    checkout_admin_addr: Address | None = None
    program_native_addr: Loopback | None = None
    antifraud_native_addr: Loopback | None = None
    points_native_addr: Loopback | None = None
    tier_native_addr: Loopback | None = None
    benefits_native_addr: Loopback | None = None
    notification_native_addr: Loopback | None = None
    checkout_native_addr: Loopback | None = None
    native_key: SecretStr | None = Field(
        None, min_length=32, description="Secret that the sidecar in front of a native front shows"
    )

    external_engine_addr: Address | None = Field(
        None,
        description="An anti-fraud engine of somebody else's; it is not asked when unset",
    )
    code_key: SecretStr | None = Field(
        None,
        min_length=32,
        description="Secret that one-time codes are made with, the same for all processes of "
        "antifraud; no code can be made when unset",
    )
    verifiers: Annotated[str, AfterValidator(_verifiers)] = Field(
        "", description="External verifiers, as name=host:port, several with commas"
    )

    share_port: bool = Field(
        False, description="Whether other processes of the same service may listen on its port, too"
    )
    pool_size: int = Field(8, ge=2, le=100, description="Connections to Postgres, per service")
    queue_size: int = Field(
        4096, ge=1, le=1_000_000, description="Requests that may wait for a batch"
    )
    batch_size: int = Field(512, ge=1, le=1000, description="Requests that one batch takes")
    drain_seconds: float = Field(
        10, gt=0, le=300, description="How long a stopping server lets calls finish"
    )
    reflection: bool = Field(
        True, description="Whether servers describe themselves to buf curl and its like"
    )
    scheduler: bool = Field(
        True, description="Whether expiry, maturing and reviews run by themselves"
    )
    schedule_seconds: float = Field(
        3600, gt=0, description="Seconds between runs of scheduled work"
    )
    clock_start: Annotated[datetime, AfterValidator(_aware)] | None = Field(
        None,
        description="Instant at which the clock starts, to replay the past; real time if unset",
    )
    smtp_url: str | None = Field(
        None, description="smtp://[user:password@]host:port for e-mail; none is sent when unset"
    )
    smtp_sender: str = Field("laurel@localhost", description="Sender of e-mail")
    otlp_endpoint: str | None = Field(
        None,
        description="host:port of an OpenTelemetry collector, without TLS; no traces when unset",
    )
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$")

    def addr(self, service: str) -> str:
        """Address at which a service is reached."""
        return str(getattr(self, f"{service}_addr"))

    def admin_addr(self, service: str) -> str | None:
        """Address of a service's /metrics, /healthz and /readyz, if it has one."""
        value = getattr(self, f"{service}_admin_addr")
        return None if value is None else str(value)

    def verifier_addrs(self) -> dict[str, str]:
        """By name, the addresses of external verifiers."""
        parts = filter(None, (one.strip() for one in self.verifiers.split(",")))
        return {name: address for name, _, address in (part.partition("=") for part in parts)}

    def native_addr(self, service: str) -> str | None:
        """Address of a service's native front, if it has one."""
        value = getattr(self, f"{service}_native_addr")
        return None if value is None else str(value)

    @model_validator(mode="after")
    def _check_native_key(self) -> Self:
        named = [name for name in SERVICES if self.native_addr(name) is not None]
        if named and self.native_key is None:
            raise ValueError(
                f"LAUREL_{named[0].upper()}_NATIVE_ADDR needs LAUREL_NATIVE_KEY, a secret of 32 "
                "characters or more that the sidecar shows"
            )
        return self


class SettingsInvalid(Exception):
    """The environment has mistakes; the text names each variable, its value and the reason."""


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Reads the settings from the environment; only the command line calls this."""
    try:
        if environ is None:
            return Settings()  # type: ignore[call-arg]
        values = {k[7:].lower(): v for k, v in environ.items() if k.startswith("LAUREL_")}
        return Settings(**values)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [_line(mistake) for mistake in error.errors()]
        raise SettingsInvalid("the environment has mistakes:\n  " + "\n  ".join(lines)) from None


def _line(mistake: Mapping[str, Any]) -> str:
    if not mistake["loc"]:
        # Of several variables at once, which it names itself.
        return str(mistake["msg"])
    name = "_".join(str(part) for part in mistake["loc"]).upper()
    is_shown = mistake["type"] != "missing" and name not in UNSHOWN
    given = f" (got {mistake['input']!r})" if is_shown else ""
    return f"LAUREL_{name}: {mistake['msg']}{given}"
