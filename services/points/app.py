"""Wires the points service.

Single writes wait in one queue and share batches; each batch asks anti-fraud once and commits once.
Members' tiers are noted on their accounts: by event, and by asking the tier service once for a
member not known yet.
"""

from collections.abc import Sequence
from datetime import datetime

from kit.batch import Batcher
from kit.breaker import Breaker
from kit.clock import from_timestamp
from kit.db import Transaction
from kit.events import Consumer
from kit.schedule import Schedule
from kit.server import Runtime, Service
from laurel.event.v1.event_pb2 import Event
from laurel.points.v1.points_service_pb2_grpc import add_PointsServiceServicer_to_server
from points.activity_desk import open_activity_desk
from points.board_calls import BOARD_EVENTS, earned_of, versions_of
from points.case_events import settle_cases
from points.counter import open_counter
from points.fact_book import FactBook
from points.fact_events import note_facts
from points.late_assessments import LateAssessments
from points.reads import open_reads
from points.remote import AntifraudClient, TierClient
from points.restrictions import RestrictionDesk
from points.scheduled import ScheduledWork
from points.service import PointsService, Queue
from points.singles import Singles
from points.store import CONSTRAINTS, LedgerStore
from points.writing import TierBook, WritePath
from rules.feed import ProgramFeed

LISTENED = (
    "program_applied", "tier_changed", "member_enrolled", "benefit_granted", "benefit_redeemed",
    "case_decided",
    "fraud_action_taken",
)  # fmt: skip
BONUS_SECONDS = 5
# Usually it costs one look into an empty table.
LATE_SECONDS = 3
# What an order did not use is missed by its member: look often. It costs one probe of an index.
HOLD_SECONDS_MAX = 5.0
PARTITION_SECONDS = 24 * 3600


async def wire(runtime: Runtime) -> Service:
    """The points service."""
    settings, clock, new_id = runtime.settings, runtime.clock, runtime.new_id
    database = await runtime.database(CONSTRAINTS)
    feed = ProgramFeed(await runtime.channel("program"))
    fraud = AntifraudClient(await runtime.channel("antifraud"), Breaker("points.antifraud"))
    tier_client = TierClient(await runtime.channel("tier"))
    path = WritePath(
        LedgerStore(database, new_id), feed, fraud, TierBook(database, tier_client), clock, new_id,
        facts=FactBook(database, tier_client),
    )  # fmt: skip
    reads = open_reads(database, feed, clock, settings.queue_size, settings.batch_size)
    queue: Queue = Batcher(
        Singles(reads.telling(path.work), feed, clock).work,
        queue_max=settings.queue_size, batch_max=settings.batch_size,
    )  # fmt: skip
    scheduled = ScheduledWork(database, feed, clock, new_id)
    activities = open_activity_desk(database, feed, clock, new_id)
    servicer = PointsService(
        queue, path, scheduled, feed, clock,
        activities=activities, counter=open_counter(database, feed, fraud, clock, new_id),
        reads=reads,
    )  # fmt: skip
    late = LateAssessments(database, feed, fraud, clock, new_id)
    restrictions = RestrictionDesk(feed, clock, new_id)
    hold_seconds = min(HOLD_SECONDS_MAX, settings.schedule_seconds)
    await scheduled.ensure_partitions()

    async def take_events(tx: Transaction, events: Sequence[Event]) -> None:
        await feed.handle_event(tx, events)
        await note_tiers(tx, events)
        await note_facts(tx, events)
        await settle_cases(tx, events, feed, clock, new_id)
        await restrictions.take_events(tx, events)
        if earned := earned_of(events):
            await reads.boards.add(tx, earned)

    def ignores(events: Sequence[Event]) -> bool:
        # Points are booked all the time: without leaderboards that must cost no transaction.
        own = events[0].WhichOneof("payload") in BOARD_EVENTS
        return own and reads.boards.keeps_none(versions_of(events))

    return Service(
        database=database,
        servicers=[
            (add_PointsServiceServicer_to_server, servicer, "laurel.points.v1.PointsService")
        ],
        consumer=Consumer((*LISTENED, *BOARD_EVENTS), take_events, ignores),
        schedules=[
            Schedule("maturation", settings.schedule_seconds, scheduled.run_maturation),
            Schedule("expiry", settings.schedule_seconds, scheduled.run_expiry),
            Schedule("holds", hold_seconds, scheduled.run_holds),
            Schedule("team_bonuses", BONUS_SECONDS, activities.team_bonuses.run),
            Schedule("late_assessments", LATE_SECONDS, late.run),
            Schedule("leaderboards", PARTITION_SECONDS, reads.boards.prune),
            Schedule("partitions", PARTITION_SECONDS, scheduled.ensure_partitions),
        ],
        loops=[feed.loop, reads.hub.run],
        drains=[queue.close, reads.balance_queue.close],
    )


async def note_tiers(tx: Transaction, events: Sequence[Event]) -> None:
    """Keeps the accounts' note of tiers: the latest decision of each member; asked anew for who has
    just enrolled.
    """
    latest: dict[str, tuple[str, datetime]] = {}
    for event in events:
        if event.HasField("tier_changed"):
            instant = from_timestamp(event.occurred_time)
            known = latest.get(event.member_id)
            if known is None or known[1] <= instant:
                latest[event.member_id] = (event.tier_changed.to_tier_id, instant)
    if latest:
        tiers, times = zip(*latest.values(), strict=True)
        await tx.execute("set_tiers", list(latest), list(tiers), list(times))
    enrolled = [event.member_id for event in events if event.HasField("member_enrolled")]
    if enrolled:
        await tx.execute("forget_unknown_tiers", sorted(enrolled))
