"""The calls of PointsService that give and donate."""

from typing import Any
from uuid import UUID

import grpc

from kit.clock import to_timestamp
from kit.money import from_minor
from kit.requests import content_hash
from laurel.points.v1 import transfers_pb2 as pb
from points.counter import Counter
from points.gifts import Certificate, Gift
from points.office import Call
from points.parse import parse_origin
from points.transfers import Spending

Context = grpc.aio.ServicerContext[Any, Any]


class TransferCalls:
    """Gifts and donations."""

    _counter: Counter

    async def TransferPoints(
        self, request: pb.TransferPointsRequest, context: Context
    ) -> pb.TransferPointsResponse:
        """See the contract."""
        call = Call(request.request_id, request, pb.TransferPointsResponse)
        return await self._counter.transfers.give(
            _spending(request),
            request.receiver_member_id,
            call,
            lambda gift: pb.TransferPointsResponse(gift=render_gift(gift)),
        )

    async def DonatePoints(
        self, request: pb.DonatePointsRequest, context: Context
    ) -> pb.DonatePointsResponse:
        """See the contract."""
        call = Call(request.request_id, request, pb.DonatePointsResponse)
        return await self._counter.transfers.donate(
            _spending(request),
            request.cause,
            call,
            lambda made: pb.DonatePointsResponse(certificate=render_certificate(made)),
        )

    async def GetDonationCertificate(
        self, request: pb.GetDonationCertificateRequest, context: Context
    ) -> pb.GetDonationCertificateResponse:
        """See the contract."""
        found = await self._counter.transfers.get_certificate(
            request.member_id, UUID(request.certificate_id)
        )
        return pb.GetDonationCertificateResponse(certificate=render_certificate(found))

    async def VerifyDonation(
        self, request: pb.VerifyDonationRequest, context: Context
    ) -> pb.VerifyDonationResponse:
        """See the contract."""
        try:
            certificate_id = UUID(request.certificate_id)
        except ValueError:
            return pb.VerifyDonationResponse(valid=False)
        found = await self._counter.transfers.verify(certificate_id)
        if found is None or request.member_id not in {"", found.member_id}:
            return pb.VerifyDonationResponse(valid=False)
        certificate = render_certificate(found)
        if not request.member_id:
            certificate.ClearField("member_id")
            certificate.ClearField("transaction_id")
        return pb.VerifyDonationResponse(valid=True, certificate=certificate)


def _spending(request: pb.TransferPointsRequest | pb.DonatePointsRequest) -> Spending:
    return Spending(
        request.request_id,
        content_hash(request),
        request.member_id,
        request.points,
        parse_origin(request),
    )


def render_gift(gift: Gift) -> pb.Gift:
    """A gift."""
    return pb.Gift(
        member_id=gift.sent.member_id,
        receiver_member_id=gift.received.member_id,
        points=gift.points,
        fee_points=gift.fee,
        received_points=gift.points - gift.fee,
        transaction_id=str(gift.sent.transaction_id),
        received_transaction_id=str(gift.received.transaction_id),
        month_left_points=gift.month_left,
        create_time=to_timestamp(gift.sent.record_time),
    )


def render_certificate(certificate: Certificate) -> pb.DonationCertificate:
    """A certificate, with the member."""
    return pb.DonationCertificate(
        certificate_id=str(certificate.certificate_id),
        member_id=certificate.member_id,
        points=certificate.points,
        amount=from_minor(certificate.amount_minor, certificate.currency, certificate.digits),
        cause=certificate.cause,
        create_time=to_timestamp(certificate.create_time),
        transaction_id=str(certificate.transaction_id),
    )
