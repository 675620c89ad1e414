"""A client of all services, under the identity that the environment names."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
from google.rpc.error_details_pb2 import ErrorInfo

from cli.errors import UserError
from kit.auth import Certificates
from kit.client import open_channel
from kit.clock import to_timestamp
from kit.errors import info_of, status_of
from laurel.antifraud.v1.antifraud_service_pb2_grpc import AntifraudServiceStub
from laurel.benefits.v1.benefits_service_pb2_grpc import BenefitsServiceStub
from laurel.checkout.v1.checkout_service_pb2_grpc import CheckoutServiceStub
from laurel.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from laurel.points.v1.liability_pb2 import GetLiabilityReportRequest
from laurel.points.v1.points_service_pb2_grpc import PointsServiceStub
from laurel.program.v1.program_service_pb2_grpc import ProgramServiceStub
from laurel.tier.v1.member_service_pb2_grpc import MemberServiceStub
from laurel.tier.v1.tier_service_pb2_grpc import TierServiceStub

NO_PROGRAM = "there is no program yet; apply one with `laurel program apply FILE`"
FAR_AHEAD = datetime(9000, 1, 1, tzinfo=UTC)


class Client:
    """Stubs of all services; channels connect when they are first used."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._stack = AsyncExitStack()
        self._certificates = _certificates(environ)
        self.points = PointsServiceStub(self._channel("points"))
        self.members = MemberServiceStub(self._channel("tier"))
        self.tiers = TierServiceStub(self._channel("tier"))
        self.benefits = BenefitsServiceStub(self._channel("benefits"))
        self.notification = NotificationServiceStub(self._channel("notification"))
        self.antifraud = AntifraudServiceStub(self._channel("antifraud"))
        self.checkout = CheckoutServiceStub(self._channel("checkout"))
        self.program = ProgramServiceStub(self._channel("program"))

    def _channel(self, service: str) -> grpc.aio.Channel:
        address = self._environ.get(f"LAUREL_{service.upper()}_ADDR")
        if address is None:
            raise UserError(f"LAUREL_{service.upper()}_ADDR is not set: where is {service}?")
        channel = open_channel(address, self._certificates)
        self._stack.push_async_callback(channel.close)
        return channel

    async def now(self) -> datetime:
        """The time by the clock of points, which runs in the past where a replay wants it to.

        No call returns it; a report as of a far year is refused at once, and the refusal names it.
        """
        request = GetLiabilityReportRequest(as_of_time=to_timestamp(FAR_AHEAD))
        try:
            await self.points.GetLiabilityReport(request)
        except grpc.aio.AioRpcError as error:
            status = status_of(error)
            if status is None or info_of(status).reason != "TIME_IN_FUTURE":
                raise
            return datetime.fromisoformat(info_of(status).metadata["now"])
        raise UserError(f"points takes {FAR_AHEAD:%Y} for the past: what is its clock?")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()
        if failed := _failed_call(error):
            raise UserError(explain(failed)) from error


def _failed_call(error: BaseException | None) -> grpc.aio.AioRpcError | None:
    """The call that failed, or the first of several at once; None where something else did."""
    while isinstance(error, BaseExceptionGroup):
        calls, others = error.split(grpc.aio.AioRpcError)
        error = None if others is not None or calls is None else calls.exceptions[0]
    return error if isinstance(error, grpc.aio.AioRpcError) else None


def explain(error: grpc.aio.AioRpcError) -> str:
    """A failed call, for people: code, reason, text."""
    status = status_of(error)
    info = info_of(status) if status is not None else ErrorInfo()
    reason = f" {info.reason}" if info.reason else ""
    # It names the version that was asked for by its number, and has none where the newest was.
    if info.reason == "PROGRAM_NOT_FOUND" and not info.metadata["version"].isdecimal():
        return f"{error.code().name}{reason}: {NO_PROGRAM}"
    return f"{error.code().name}{reason}: {error.details()}"


def _certificates(environ: Mapping[str, str]) -> Certificates:
    try:
        ca, certificate, key = (Path(environ[f"LAUREL_{name}"]) for name in ("CA", "CERT", "KEY"))
        return Certificates.read(ca, certificate, key)
    except KeyError as error:
        raise UserError(f"{error.args[0]} is not set: source the env file of `laurel up`") from None
    except OSError as error:
        raise UserError(f"the certificate cannot be read: {error}") from None
