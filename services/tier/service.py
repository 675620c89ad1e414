"""laurel.tier.v1: proto <-> domain, nothing else."""

# the contract names the methods

from datetime import datetime, timedelta

from google.type.money_pb2 import Money

from kit.clock import Clock, parse_occurred, parse_time, to_timestamp
from kit.errors import LaurelError, to_status
from kit.interceptor import Context
from kit.money import from_minor
from kit.paging import PageTokenInvalid, decode_token, encode_token, page_size
from kit.requests import content_hash
from kit.validate import check
from laurel.tier.v1 import member_service_pb2 as member_pb
from laurel.tier.v1 import tier_service_pb2 as tier_pb
from laurel.tier.v1.member_service_pb2_grpc import MemberServiceServicer
from laurel.tier.v1.tier_service_pb2_grpc import TierServiceServicer
from rules.compiled import CompiledProgram
from tier.enrolment import Enrolment, Member, Profile, Verdict, check_birthday, check_text
from tier.errors import ReviewTooFarAhead
from tier.member_store import MemberStore
from tier.tier_reader import Recorded, Status, TierReader
from tier.tier_store import TierStore

NUMBER_MAX = 2**31 - 1
REVIEW_AHEAD_MAX = timedelta(days=3653)


class MemberService(MemberServiceServicer):
    """Who the members are."""

    def __init__(self, store: MemberStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def EnrolMember(
        self, request: member_pb.EnrolMemberRequest, context: Context
    ) -> member_pb.EnrolMemberResponse:
        """Enrols a member. One who is known only from early purchases keeps what they earned."""
        [verdict] = await self._store.enrol([_parse_enrolment(request, self._clock())])
        if isinstance(verdict, LaurelError):
            raise verdict
        return member_pb.EnrolMemberResponse(member=_render_member(verdict))

    async def BatchEnrolMembers(
        self, request: member_pb.BatchEnrolMembersRequest, context: Context
    ) -> member_pb.BatchEnrolMembersResponse:
        """Enrols up to 1,000 members; each is answered on its own, in the order of the request."""
        now = self._clock()
        rows = [_parse_row(row, now) for row in request.requests]
        good = [row for row in rows if isinstance(row, Enrolment)]
        verdicts = iter(await self._store.enrol(good) if good else ())
        results = [row if isinstance(row, LaurelError) else next(verdicts) for row in rows]
        return member_pb.BatchEnrolMembersResponse(results=map(_render_result, results))

    async def GetMember(
        self, request: member_pb.GetMemberRequest, context: Context
    ) -> member_pb.GetMemberResponse:
        """Returns a member."""
        check_text(member_id=request.member_id)
        member = await self._store.get(request.member_id)
        return member_pb.GetMemberResponse(member=_render_member(member))


class TierService(TierServiceServicer):
    """Which tier a member is in, and why."""

    def __init__(self, store: TierStore, reader: TierReader, clock: Clock) -> None:
        self._store = store
        self._reader = reader
        self._clock = clock

    async def GetTierStatus(
        self, request: tier_pb.GetTierStatusRequest, context: Context
    ) -> tier_pb.GetTierStatusResponse:
        """Returns a member's tier and the way to the next one."""
        check_text(member_id=request.member_id)
        as_of = self._clock()
        if request.HasField("as_of_time"):
            as_of = parse_time(request.as_of_time, "as_of_time")
        status = await self._reader.status(request.member_id, as_of)
        return tier_pb.GetTierStatusResponse(tier_status=_render_status(status))

    async def BatchGetTiers(
        self, request: tier_pb.BatchGetTiersRequest, context: Context
    ) -> tier_pb.BatchGetTiersResponse:
        """Returns the tiers of up to 1,000 members; one that is not known has an empty tier."""
        check_text(member_ids="".join(request.member_ids))
        found = await self._reader.briefs(request.member_ids, self._clock())
        response = tier_pb.BatchGetTiersResponse()
        for member_id in request.member_ids:
            row = response.member_tiers.add(member_id=member_id)
            brief = found.get(member_id)
            if brief is not None:
                row.tier_id, row.rank, row.birth_month = (
                    brief.tier_id, brief.rank, brief.birth_month,
                )  # fmt: skip
                if brief.enrol_time is not None:
                    row.enrol_time.CopyFrom(to_timestamp(brief.enrol_time))
        return response

    async def ListTierHistory(
        self, request: tier_pb.ListTierHistoryRequest, context: Context
    ) -> tier_pb.ListTierHistoryResponse:
        """Lists the decisions about a member's tier, newest first."""
        check_text(member_id=request.member_id)
        size = page_size(request.page_size)
        before = _parse_token(request.page_token)
        found = await self._reader.decisions(request.member_id, before, size + 1)
        return tier_pb.ListTierHistoryResponse(
            tier_decisions=map(_render_decision, found[:size]),
            next_page_token=encode_token(found[size - 1].number) if len(found) > size else "",
        )

    async def CountTiers(
        self, request: tier_pb.CountTiersRequest, context: Context
    ) -> tier_pb.CountTiersResponse:
        """Counts the members of every tier of the newest program, lowest first."""
        response = tier_pb.CountTiersResponse()
        for count in await self._reader.counts():
            response.tier_counts.add(
                tier_id=count.tier_id, tier_name=count.name, member_count=count.member_count
            )
        return response

    async def RunReview(
        self, request: tier_pb.RunReviewRequest, context: Context
    ) -> tier_pb.RunReviewResponse:
        """Reviews every member whose validity has ended as of a time, each as of the end of it."""
        now = self._clock()
        as_of = now
        if request.HasField("as_of_time"):
            as_of = parse_time(request.as_of_time, "as_of_time")
        if as_of > now + REVIEW_AHEAD_MAX:
            raise ReviewTooFarAhead(time=as_of.isoformat(), now=now.isoformat())
        reviewed = await self._store.run_review(as_of)
        return tier_pb.RunReviewResponse(
            reviewed_count=reviewed.kept_count + reviewed.demoted_count,
            kept_count=reviewed.kept_count,
            demoted_count=reviewed.demoted_count,
        )


def _parse_row(request: member_pb.EnrolMemberRequest, now: datetime) -> Enrolment | LaurelError:
    try:
        check(request)
        return _parse_enrolment(request, now)
    except LaurelError as error:
        return error


def _parse_enrolment(request: member_pb.EnrolMemberRequest, now: datetime) -> Enrolment:
    check_text(
        request_id=request.request_id,
        member_id=request.member_id,
        channel=request.channel,
        language=request.language,
    )
    check_birthday(request.birth_month, request.birth_day)
    stated = request.enrol_time if request.HasField("enrol_time") else None
    profile = Profile(
        enrol_time=parse_occurred(stated, now, "enrol_time"),
        email=request.email,
        birth_month=request.birth_month,
        birth_day=request.birth_day,
        channel=request.channel,
        language=request.language,
        email_consent=request.email_consent,
    )
    return Enrolment(request.request_id, content_hash(request), request.member_id, profile)


def _render_result(verdict: Verdict) -> member_pb.EnrolResult:
    if isinstance(verdict, LaurelError):
        return member_pb.EnrolResult(error=to_status(verdict))
    return member_pb.EnrolResult(member=_render_member(verdict))


def _render_member(member: Member) -> member_pb.Member:
    profile = member.profile
    if profile is None:
        status = member_pb.MEMBER_STATUS_PROVISIONAL
        return member_pb.Member(member_id=member.member_id, status=status)
    return member_pb.Member(
        member_id=member.member_id,
        status=member_pb.MEMBER_STATUS_ENROLLED,
        enrol_time=to_timestamp(profile.enrol_time),
        email=profile.email,
        birth_month=profile.birth_month,
        birth_day=profile.birth_day,
        channel=profile.channel,
        language=profile.language,
        email_consent=profile.email_consent,
    )


def _money(minor: int, program: CompiledProgram) -> Money:
    return from_minor(minor, program.currency, program.minor_digits)


def _render_status(status: Status) -> tier_pb.TierStatus:
    program = status.program
    rendered = tier_pb.TierStatus(
        member_id=status.member_id,
        tier_id=status.counted.id,
        tier_name=status.counted.name,
        rank=status.counted.rank if status.held_down_by else status.tier.rank,
        earned_tier_id=status.held.id,
        held_down_by=str(status.held_down_by or ""),
        window_spend=_money(status.window_spend_minor, program),
        program_version=program.version,
    )
    if status.valid_until is not None:
        rendered.valid_until_time.CopyFrom(to_timestamp(status.valid_until))
    if status.above is not None:
        rendered.next_tier_id = status.above.id
        rendered.spend_to_next.CopyFrom(_money(status.missing_to_next_minor, program))
    if status.tier.rank:
        rendered.spend_to_keep.CopyFrom(_money(status.missing_to_keep_minor, program))
    return rendered


def _render_decision(made: Recorded) -> tier_pb.TierDecision:
    rendered = tier_pb.TierDecision(
        decision_id=str(made.decision_id),
        member_id=made.member_id,
        kind=tier_pb.TierDecisionKind.ValueType(made.kind),
        from_tier_id=made.from_tier_id,
        to_tier_id=made.to_tier_id,
        window_spend=_money(made.window_spend_minor, made.program),
        threshold_spend=_money(made.threshold_minor, made.program),
        window_start_time=to_timestamp(made.window_start_time),
        occurred_time=to_timestamp(made.occurred_time),
        record_time=to_timestamp(made.record_time),
        program_version=made.program.version,
        cause_event_id=str(made.cause_event_id or ""),
    )
    if made.valid_until_time is not None:
        rendered.valid_until_time.CopyFrom(to_timestamp(made.valid_until_time))
    return rendered


def _parse_token(token: str) -> int:
    key = decode_token(token, int)
    if key is None:
        return NUMBER_MAX
    number = key[0]
    if not isinstance(number, int) or not 0 < number <= NUMBER_MAX:
        raise PageTokenInvalid
    return number
