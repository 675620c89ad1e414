"""SC-01: a call is authenticated by certificate, authorised by method, else denied."""

import asyncio
import importlib
import pkgutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import grpc
import pytest
import yaml
from grpc import StatusCode
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

import laurel
from cli.authority import IDENTITIES, ensure_certificates
from house import REPOSITORY, Ground, House, Refused
from kit.auth import Certificates, PolicyInvalid, load_policy
from kit.client import open_channel
from kit.settings import SERVICES

POLICY = REPOSITORY / "deploy" / "policy.yaml"
REFLECTION = "grpc.reflection."
# A certificate of our CA whose name no rule knows.
STRANGER = "stranger"


# Served by others, and called by Laurel.
OF_OTHERS = {
    "laurel.antifraud.v1.ExternalEngine",
    "laurel.antifraud.v1.ExternalVerifierService",
}


def methods_of_contract() -> dict[str, str]:
    """Every method that we serve, as `package.Service/Method`, and the service that serves it."""
    found = {}
    for module in pkgutil.walk_packages(laurel.__path__, "laurel."):
        if module.name.endswith("_pb2"):
            file = importlib.import_module(module.name).DESCRIPTOR
            for service in file.services_by_name.values():
                if service.full_name in OF_OTHERS:
                    continue
                for method in service.methods:
                    name = f"{service.full_name}/{method.name}"
                    found[name] = service.full_name.split(".")[1]
    return found


METHODS = methods_of_contract()


@pytest.fixture(scope="module")
async def house(ground: Ground) -> AsyncIterator[House]:
    """A house of its own: empty requests, such as one to RunExpiry, touch nobody's members."""
    ensure_certificates(ground.certificates, [*IDENTITIES, STRANGER])
    async with ground.house() as house:
        yield await house.start(*SERVICES)


# The file


def test_every_method_has_a_rule_and_every_rule_a_method() -> None:
    ruled = {name for name in load_policy(POLICY).allowed if not name.startswith(REFLECTION)}
    assert len(METHODS) > 30
    assert set(METHODS.values()) == set(SERVICES)
    assert set(METHODS) - ruled == set(), "methods that nobody may call: add a rule"
    assert ruled - set(METHODS) == set(), "rules for methods that do not exist"


def test_a_rule_names_groups_and_identities_that_exist() -> None:
    document = yaml.safe_load(POLICY.read_text())
    groups: Mapping[str, list[str]] = document["groups"]
    named = {name for names in document["methods"].values() for name in names}
    members = {name for names in groups.values() for name in names}
    assert named <= {*groups, *IDENTITIES}
    assert members <= set(IDENTITIES)
    assert not set(groups) & set(IDENTITIES), "a group must not hide an identity"


def test_only_the_systems_that_sell_move_points_and_only_admin_runs_scheduled_work() -> None:
    allowed = load_policy(POLICY).allowed
    for name, identities in allowed.items():
        assert "admin" in identities, f"{name}: whoever runs Laurel may call everything"
        if "/Run" in name:
            assert identities == {"admin"}, name
    # People's tools look and decide; what moves points is the shop and its checkout. What operators
    # give or take by hand is a decision, and nobody else's.
    moving = [name for name in allowed if name.endswith(("Points", "Accrual", "Hold"))]
    moving.remove("laurel.points.v1.PointsService/AdjustPoints")
    assert allowed["laurel.points.v1.PointsService/AdjustPoints"] == {"admin", "operator"}
    assert len(moving) >= 7
    for name in moving:
        assert allowed[name] <= {"admin", "platform", "checkout"}, name


@pytest.mark.parametrize(
    "text",
    [
        "groups: {}\nmethods: {a.B/C: admin}",
        "groups: {admins: admin}\nmethods: {a.B/C: [admins]}",
        "groups: {}\nmethods: {a.B/C: [[admin]]}",
        "groups: {}\nmethods: {a.B/C: }",
        "groups: {}",
        "- a list",
        "groups: {",
        "\x00",
        "\udcff",
    ],
)
def test_a_service_does_not_start_with_a_policy_that_has_a_mistake(
    tmp_path: Path, text: str
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(PolicyInvalid, match=r"policy\.yaml: expected `groups` and `methods`"):
        load_policy(file)


# The calls


async def call(house: House, method: str, identity: str) -> StatusCode | Refused:
    """Calls a method with an empty request: OK, or how it was refused."""
    channel = house.channel(METHODS[method], identity)
    try:
        await channel.unary_unary(f"/{method}")(b"", timeout=20)
    except grpc.aio.AioRpcError as error:
        return Refused(error)
    return StatusCode.OK


def was_denied(outcome: StatusCode | Refused) -> bool:
    """Whether the policy said no; anything but a decision of the service fails the test."""
    if isinstance(outcome, StatusCode):
        return False
    assert outcome.code not in {StatusCode.UNAVAILABLE, StatusCode.INTERNAL, StatusCode.UNKNOWN}, (
        outcome
    )
    return (outcome.code, outcome.reason) == (StatusCode.PERMISSION_DENIED, "NOT_ALLOWED")


async def test_each_identity_may_call_what_the_policy_lists_and_nothing_else(house: House) -> None:
    allowed = load_policy(POLICY).allowed
    wrong = []
    for identity in (*IDENTITIES, STRANGER):
        outcomes = await asyncio.gather(*(call(house, method, identity) for method in METHODS))
        for method, outcome in zip(METHODS, outcomes, strict=True):
            if was_denied(outcome) is (identity in allowed[method]):
                wrong.append(f"{identity} {method}: {outcome}")
    assert wrong == []


async def test_a_refusal_names_the_identity_the_method_and_where_the_rule_stands(
    house: House,
) -> None:
    method = "laurel.points.v1.PointsService/AccruePoints"
    outcome = await call(house, method, "dashboard")
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.reason) == (StatusCode.PERMISSION_DENIED, "NOT_ALLOWED")
    assert outcome.metadata == {"identity": "dashboard", "method": method}
    assert "deploy/policy.yaml" in (outcome.message or "")


async def test_a_name_in_the_metadata_makes_nobody_someone_else(house: House) -> None:
    channel = house.channel("points", STRANGER)
    lie = [("x509_common_name", "admin"), ("authorization", "admin"), ("x-identity", "admin")]
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await channel.unary_unary("/laurel.points.v1.PointsService/GetLedgerTotals")(
            b"", metadata=lie
        )
    assert refusal.value.code() is StatusCode.PERMISSION_DENIED


async def test_the_health_of_a_service_is_open_to_every_identity(house: House) -> None:
    for service in SERVICES:
        stub = house.stub(HealthStub, service, STRANGER)
        assert (await stub.Check(HealthCheckRequest())).status == HealthCheckResponse.SERVING


# The connection


async def is_connected(channel: grpc.aio.Channel) -> bool:
    """Whether a call gets an answer from the service, be it a refusal; closes the channel."""
    try:
        await channel.unary_unary("/laurel.points.v1.PointsService/GetBalance")(b"", timeout=10)
    except grpc.aio.AioRpcError as error:
        return error.code() is not StatusCode.UNAVAILABLE
    finally:
        await channel.close()
    return True


async def test_a_caller_without_a_certificate_is_not_connected(house: House) -> None:
    address = house.settings.points_addr
    ca = (house.settings.cert_dir / "ca.crt").read_bytes()
    assert not await is_connected(
        grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(ca))
    )
    assert not await is_connected(grpc.aio.insecure_channel(address))
    good = Certificates.load(house.settings.cert_dir, "admin")
    assert await is_connected(open_channel(address, good))


async def test_a_certificate_of_another_ca_is_not_connected(house: House, tmp_path: Path) -> None:
    ensure_certificates(tmp_path, ["admin"])
    ours, other = house.settings.cert_dir, tmp_path
    forged = Certificates.read(ours / "ca.crt", other / "admin.crt", other / "admin.key")
    assert not await is_connected(open_channel(house.settings.points_addr, forged))


async def test_a_client_does_not_talk_to_a_server_of_another_ca(
    house: House, tmp_path: Path
) -> None:
    ensure_certificates(tmp_path, ["admin"])
    ours, other = house.settings.cert_dir, tmp_path
    wary = Certificates.read(other / "ca.crt", ours / "admin.crt", ours / "admin.key")
    assert not await is_connected(open_channel(house.settings.points_addr, wary))
