"""What happens to a batch of commands: look up, decide what they earn, ask anti-fraud, book."""

from collections.abc import Sequence
from datetime import UTC, datetime

from kit.clock import Clock, NewId
from kit.db import Database
from kit.errors import LaurelError, RequestIdReused
from points import errors, metrics
from points.apart import work_apart
from points.fact_book import FactBook
from points.holds import check_redemption
from points.leave import check_may_spend, must_wait
from points.plain import Allowed, Offer, decision_of, explain, offer_of
from points.posting import Desk
from points.questions import Asked, render_operation, type_of
from points.remote import AntifraudClient, Decided, TierClient
from points.rule_accruals import NO_ANSWER, Plan, RuleGrant
from points.store import Answer, Known, LedgerStore, Ready
from points.values import Accrue, Command, Grant, Hold, Reverse
from rules.compiled import ProgramHistory
from rules.feed import ProgramFeed
from rules.values import Action, FallbackPolicy, Operation

ATTEMPTS_MAX = 5
CAREFUL_BATCHES = 100
# Of requests with one id and different content, so many are tried as long as all are refused.
ROUNDS_MAX = 4
LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


class WritePath:
    """Works off batches of commands. Each command gets its own answer, in the order they came."""

    def __init__(
        self,
        store: LedgerStore,
        feed: ProgramFeed,
        fraud: AntifraudClient,
        tiers: "TierBook",
        clock: Clock,
        new_id: NewId,
        *,
        facts: FactBook,
    ) -> None:
        self._facts = facts
        self._store = store
        self._feed = feed
        self._fraud = fraud
        self._tiers = tiers
        self._clock = clock
        self._new_id = new_id
        self._careful_count = 0

    async def work(self, commands: Sequence[Command]) -> list[Answer]:
        """Books a batch; a command that cannot be booked does not keep the others from it."""
        return await work_apart(commands, self._book_all)

    async def _book_all(self, commands: Sequence[Command]) -> list[Answer]:
        """Books a batch. A request id that comes twice in it takes effect once: for the first of
        those that are not refused.
        """
        history = await self._feed.ensure()
        answers: dict[int, Answer] = {}
        waiting = list(enumerate(commands))
        for _ in range(ROUNDS_MAX):
            firsts: dict[str, Command] = {}
            for _, command in waiting:
                firsts.setdefault(command.request_id, command)
            told = await self._settle_repeats(list(firsts.values()), history)
            later = []
            for index, command in waiting:
                answer = told[command.request_id]
                if firsts[command.request_id].digest == command.digest:
                    answers[index] = answer
                elif isinstance(answer, Exception):
                    # Its id is free, or it is the repeat that the first one was not.
                    later.append((index, command))
                else:
                    answers[index] = RequestIdReused(request_id=command.request_id)
            if not later:
                break
            waiting = later
        else:
            for index, command in waiting:
                answers[index] = RequestIdReused(request_id=command.request_id)
        return [answers[index] for index in range(len(commands))]

    async def _settle_repeats(
        self, commands: Sequence[Command], history: ProgramHistory
    ) -> dict[str, Answer]:
        """Repeats are looked up first, but for accruals while none has come for a while.

        A repeated accrual then breaks the primary key of requests, or what its account may hold,
        which undoes its batch; the batch is worked on again with the look-up, and so are the next
        ones. Any other command could be refused for what it did itself the first time.
        """
        for attempt in range(1, ATTEMPTS_MAX + 1):
            repeats = self._careful_count > 0 or not all(isinstance(c, Accrue) for c in commands)
            self._careful_count = max(0, self._careful_count - 1)
            try:
                return await self._once(commands, history, repeats=repeats)
            except (errors.RequestRaced, errors.BalanceExceeded) as error:
                is_no_repeat = repeats and isinstance(error, errors.BalanceExceeded)
                if is_no_repeat or attempt == ATTEMPTS_MAX:
                    raise
                self._careful_count = CAREFUL_BATCHES
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _once(
        self, commands: Sequence[Command], history: ProgramHistory, *, repeats: bool
    ) -> dict[str, Answer]:
        known = await self._store.look_up(commands, history, repeats=repeats)
        if known.hold_version > history.newest.version:
            # Made by another process, which has heard of a version before this one.
            await self._feed.refresh()
            history = await self._feed.ensure()
        done = dict(known.done)
        answers: dict[str, Answer] = dict(done)
        open_commands = [command for command in commands if command.request_id not in answers]
        plain, ready = await self._decide(open_commands, known, answers, history)
        desk = Desk(self._clock(), self._new_id, history)
        booked = await self._book_plain(plain, ready, desk.now) if plain else {}
        # They are committed, whatever becomes of the others.
        metrics.count(booked.values())
        answers.update(booked)
        if ready:
            written = await self._store.write(ready, known, desk)
            answers.update(
                (entry.command.request_id, answer)
                for entry, answer in zip(ready, written, strict=True)
            )
        refused = [c for c in open_commands if isinstance(answers[c.request_id], LaurelError)]
        if refused:
            # Perhaps booked before, or by another process since it was looked up: then that is the
            # answer.
            found = await self._store.find_done(refused, history)
            done.update(found)
            answers.update(found)
        # What was done before was counted then.
        counted = done.keys() | booked.keys()
        metrics.count(answer for request_id, answer in answers.items() if request_id not in counted)
        return answers

    async def _book_plain(
        self, plain: Sequence[Allowed], ready: list[Ready], now: datetime
    ) -> dict[str, Answer]:
        """Books the plain way; where an account is not plain any more, all of them join `ready`."""
        try:
            booked = await self._store.write_plain(plain, now)
        except errors.NotPlain:
            ready += [_generally(one) for one in plain]
            return {}
        return {one.allowed.offer.command.request_id: one for one in booked}

    async def _decide(
        self,
        commands: Sequence[Command],
        known: Known,
        answers: dict[str, Answer],
        history: ProgramHistory,
    ) -> tuple[list[Allowed], list[Ready]]:
        """What each command earns and what anti-fraud says to it, those that are plain apart;
        refusals go to `answers`.
        """
        earners = {command.member_id for command in commands if isinstance(command, Accrue)}
        tiers = await self._tiers.tiers_of(earners, known)
        by_rules = [c for c in commands if isinstance(c, Accrue) and c.activity is not None]
        scenes = await self._facts.look_up(by_rules, tiers) if by_rules else None
        prepared: list[tuple[Command, Offer | Plan | None]] = []
        asked: list[Asked] = []
        for command in commands:
            offer: Offer | Plan | None = None
            try:
                if isinstance(command, Accrue):
                    if command.activity is not None and scenes is not None:
                        offer = scenes.plan(command)
                    else:
                        offer = offer_of(command, tiers.get(command.member_id))
                    asked.append(Asked(command, offer.points, offer.tier_id))
                elif isinstance(command, Hold):
                    check_redemption(command)
                    tier_id = command.program.counted_tier_id(known.tiers.get(command.member_id))
                    asked.append(Asked(command, command.points, tier_id))
                prepared.append((command, offer))
            except LaurelError as refusal:
                answers[command.request_id] = refusal
        decisions = await self._assess(asked, history)
        return _part(prepared, decisions, known, answers)

    async def _assess(
        self, asked: Sequence[Asked], history: ProgramHistory
    ) -> dict[str, Decided] | None:
        if not asked:
            return {}
        deadline_ms = history.in_force(self._clock()).antifraud.deadline_ms
        decided = await self._fraud.assess(asked, deadline_ms)
        if decided is None:
            return None
        return {one.command.request_id: answer for one, answer in zip(asked, decided, strict=True)}


class TierBook:
    """What is known of members' tiers: the account's own note, else what the tier service says."""

    def __init__(self, database: Database, client: TierClient) -> None:
        self._database = database
        self._client = client

    async def tiers_of(self, members: set[str], known: Known) -> dict[str, str]:
        """By member, the id of the tier; none for one whose tier could not be found out."""
        tiers = {member: known.tiers.get(member) for member in members}
        unknown = sorted(member for member, tier in tiers.items() if tier is None)
        if unknown:
            told = await self._client.get_tiers(unknown)
            if told:
                await self._note(told)
                tiers.update(told)
        return {member: tier for member, tier in tiers.items() if tier is not None}

    async def _note(self, tiers: dict[str, str]) -> None:
        # Older than any event, so that what an event says wins.
        ids = list(tiers)
        columns = (ids, [tiers[i] for i in ids], [LONG_AGO] * len(ids))
        async with self._database.transaction() as tx:
            await tx.execute("set_tiers", *columns)


def _part(
    prepared: Sequence[tuple[Command, Offer | Plan | None]],
    decisions: dict[str, Decided] | None,
    known: Known,
    answers: dict[str, Answer],
) -> tuple[list[Allowed], list[Ready]]:
    """Commands with anti-fraud's decisions, those that are plain apart; refusals go to `answers`.

    Plain accruals are booked first. Where another command of the member came before one, it goes
    the general way, too: a batch takes effect in the order it came.
    """
    plain: list[Allowed] = []
    ready: list[Ready] = []
    general: set[str] = set()
    for command, offer in prepared:
        decided = decisions.get(command.request_id) if decisions is not None else None
        if isinstance(offer, Offer) and _is_plain(offer, decided, known):
            assert decided is not None
            allowed = Allowed(offer, decided.assessment_id)
            if offer.command.member_id in general:
                ready.append(_generally(allowed))
            else:
                plain.append(allowed)
            continue
        try:
            ready.append(_settle(command, offer, decided))
        except LaurelError as refusal:
            answers[command.request_id] = refusal
        else:
            if isinstance(command, Accrue | Hold | Reverse):
                general.add(command.member_id)
    return plain, ready


def _settle(command: Command, offer: Offer | Plan | None, decided: Decided | None) -> Ready:
    """A command with its decision, None without one. Raises Denied, UnderReview, ChallengeRequired,
    ChallengesSpent or AntifraudUnavailable.
    """
    if not isinstance(command, Accrue | Hold):
        return Ready(command)
    if decided is None:
        return _settle_without_answer(command, offer)
    if offer is None:
        check_may_spend(decided)
        return Ready(command, assessment_id=decided.assessment_id)
    return _granted(offer, decided.assessment_id, must_wait(decided))


def _is_plain(offer: Offer, decided: Decided | None, known: Known) -> bool:
    return (
        decided is not None
        and decided.action is Action.ALLOW
        and offer.points > 0
        and offer.command.member_id not in known.special
    )


def _generally(allowed: Allowed) -> Ready:
    return _granted(allowed.offer, allowed.assessment_id, under_review=False)


def _granted(offer: Offer | Plan, assessment_id: str, under_review: bool) -> Ready:
    if isinstance(offer, Plan):
        return Ready(offer.command, RuleGrant(offer, assessment_id, under_review))
    explanation = explain(decision_of(offer, assessment_id), offer.command.program)
    explanation["review"] = under_review
    return Ready(offer.command, Grant(offer.points, explanation, under_review))


def _settle_without_answer(command: Accrue | Hold, offer: Offer | Plan | None) -> Ready:
    """The program's policy for a silent anti-fraud: an accrual may be booked pending until it is
    assessed, all else is refused.
    """
    operation = Operation.REDEMPTION if isinstance(command, Hold) else Operation.ACCRUAL
    points = command.points if isinstance(command, Hold) else offer.points if offer else 0
    fallback = command.program.antifraud.fallback(operation, type_of(command))
    policy = fallback.applied_to(points)
    metrics.count_fallback(operation, policy)
    if offer is None or policy is FallbackPolicy.REFUSE:
        raise errors.AntifraudUnavailable(retry_after_ms=errors.AntifraudUnavailable.RETRY_AFTER_MS)
    question = render_operation(Asked(command, offer.points, offer.tier_id))
    if isinstance(offer, Plan):
        return Ready(command, RuleGrant(offer, "", under_review=True), operation=question)
    explanation = explain(decision_of(offer, ""), offer.command.program)
    del explanation["assessment"]
    explanation["lines"].append(NO_ANSWER)
    explanation["review"] = True
    return Ready(command, Grant(offer.points, explanation, under_review=True), operation=question)
