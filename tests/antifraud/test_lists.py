"""AF-02: lists of members, devices, addresses, cards and stores, and the rules that read them."""

from asyncio import gather
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from fraud_desk import ALLOW, DENY, REDEMPTION, REVIEW, Desk, operation, program_with
from grpc import StatusCode

from fraud_actions import (
    ALLOWED,
    DENIED,
    DENY_LIST,
    DEVICE,
    IP,
    WATCHED,
    ActionDesk,
    entry,
    key,
)
from house import Ground, House, new_id, refused
from kit.clock import to_timestamp
from laurel.antifraud.v1.antifraud_service_pb2_grpc import AntifraudServiceStub
from laurel.antifraud.v1.lists_pb2 import ListListEntriesRequest

RULES = """
    - {name: denied, operations: [accrual], when: lists.denied && !lists.allowed, action: deny, score: 900}
    - {name: watched, operations: [accrual], when: lists.watched_device, action: review, score: 100}
"""  # noqa: E501


@pytest.fixture(scope="module")
async def listed_house(ground: Ground) -> AsyncIterator[House]:
    """A house whose rules read lists."""
    async with ground.house() as house:
        await house.apply(program_with(RULES))
        await house.start("antifraud")
        yield house


@pytest.fixture
def desk(listed_house: House) -> Desk:
    """The anti-fraud service of that house."""
    return Desk(listed_house)


@pytest.fixture
def hands(listed_house: House) -> ActionDesk:
    """Its lists and actions."""
    return ActionDesk(listed_house)


def soon(days: float = 1) -> dict[str, object]:
    """The end of an entry."""
    return {"expire_time": to_timestamp(datetime.now(UTC) + timedelta(days=days))}


async def test_an_entry_takes_effect_at_once_in_every_process(
    desk: Desk, hands: ActionDesk, listed_house: House
) -> None:
    """AF-02: no process remembers what a list was a moment ago."""
    device = new_id()
    async with listed_house.twin("antifraud") as channel:
        twin = Desk(listed_house)
        twin.stub = AntifraudServiceStub(channel)
        asks = [lambda d=d: d.actions(operation(new_id(), device=device)) for d in (desk, twin)]
        assert [await ask() for ask in asks] == [[ALLOW], [ALLOW]]
        assert await hands.put(entry(device, DEVICE)) == 1
        assert [await ask() for ask in asks] == [[DENY], [DENY]]
        assert await hands.remove(entry(device, DEVICE)) == 1
        assert [await ask() for ask in asks] == [[ALLOW], [ALLOW]]


async def test_any_key_of_a_request_counts_and_a_fact_of_one_kind_only_that_kind(
    desk: Desk, hands: ActionDesk
) -> None:
    """AF-02: `lists.denied` is about all keys, `lists.watched_device` about devices alone."""
    member, ip, device = new_id(), "10.0.0.9", new_id()
    await hands.put(entry(ip, IP), entry(member, on=WATCHED), entry(device, DEVICE, WATCHED))
    answers = await desk.actions(
        operation(new_id(), ip=ip),
        operation(member),
        operation(new_id(), device=device),
        operation(new_id(), device=ip),
        operation(new_id(), ip=ip, kind=REDEMPTION),
    )
    assert answers == [DENY, ALLOW, REVIEW, ALLOW, ALLOW]
    await hands.put(entry(ip, IP, ALLOWED))
    assert await desk.actions(operation(new_id(), ip=ip)) == [ALLOW]
    await hands.remove(entry(ip, IP), entry(ip, IP, ALLOWED))


async def test_an_assessment_names_what_lists_said(desk: Desk, hands: ActionDesk) -> None:
    """AF-02: the facts that made a rule fire are kept."""
    member = new_id()
    await hands.put(entry(member))
    await desk.assess(operation(member))
    [assessment] = (await desk.list(member)).assessments
    facts = dict(assessment.fired_rules[0].facts)
    assert facts == {"lists.denied": "True", "lists.allowed": "False"}


async def test_an_entry_ends_by_itself_and_leaves_in_time(desk: Desk, hands: ActionDesk) -> None:
    """AF-02: lists with expiry; the table stays bounded."""
    member, other = new_id(), new_id()
    await hands.put(entry(member, **soon()), entry(other, **soon()))
    assert await desk.actions(operation(member)) == [DENY]
    await desk.house.fetch(
        "UPDATE antifraud.list_entry SET expire_time = now() - interval '1 s' WHERE value = $1",
        member,
    )
    assert await desk.actions(operation(member), operation(other)) == [ALLOW, DENY]
    assert await hands.entries(value=member) == []
    assert [one.key.value for one in await hands.entries(value=member, show_expired=True)] == [
        member
    ]
    await hands.run("prune_lists")
    assert await hands.entries(value=member, show_expired=True) == []
    assert len(await hands.entries(value=other)) == 1


async def test_an_entry_is_replaced_and_a_repeat_changes_nothing(hands: ActionDesk) -> None:
    """AF-02: put twice is put once; the same request again is answered as the first time."""
    member, request_id = new_id(), new_id()
    first = entry(member, reason="first")
    assert await hands.put(first, request_id=request_id) == 1
    assert await hands.put(entry(member, reason="second", **soon())) == 0
    assert await hands.put(first, request_id=request_id) == 1
    [found] = await hands.entries(value=member)
    assert (found.reason, found.operator, found.identity) == ("second", "anna", "admin")
    assert found.HasField("expire_time")
    reused = await refused(hands.put(entry(new_id()), request_id=request_id))
    assert (reused.code, reused.reason) == (StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    gone = new_id()
    assert await hands.remove(first, entry(gone), request_id=gone) == 1
    assert await hands.remove(first, entry(gone), request_id=gone) == 1
    assert await hands.entries(value=member) == []


async def test_many_put_and_remove_the_same_entries_at_once(hands: ActionDesk) -> None:
    """AF-02: no deadlock, and what is left is whole."""
    names = sorted(new_id() for _ in range(20))
    entries = [entry(name, DEVICE) for name in names]
    calls = [
        hands.put(*(entries if n % 2 else entries[::-1])) if n % 3 else hands.remove(*entries)
        for n in range(24)
    ]
    await gather(*calls)
    await hands.put(*entries)
    found = [await hands.entries(value=name) for name in names]
    assert [len(one) for one in found] == [1] * 20


async def test_entries_are_listed_in_pages_by_list_and_kind(hands: ActionDesk) -> None:
    """AF-02: pages without a gap."""
    prefix = new_id()
    wanted = [f"{prefix}-{n}" for n in range(5)]
    await hands.put(*[entry(value, DEVICE, ALLOWED) for value in wanted])
    seen, token = [], ""
    while True:
        page = await hands.stub.ListListEntries(
            ListListEntriesRequest(page_size=2, page_token=token, list=ALLOWED, key_kind=DEVICE)
        )
        seen += [one.key.value for one in page.entries]
        token = page.next_page_token
        if not token:
            break
    assert [value for value in seen if value.startswith(prefix)] == wanted
    wrong = await refused(hands.entries(page_token="nonsense"))
    assert wrong.reason == "PAGE_TOKEN_INVALID"


async def test_what_cannot_be_put_is_refused_as_a_whole(hands: ActionDesk) -> None:
    """AF-02: each refusal says what to do, and nothing of the call is put."""
    member = new_id()
    twice = await refused(hands.put(entry(member), entry(member)))
    assert (twice.code, twice.reason) == (StatusCode.INVALID_ARGUMENT, "LIST_KEY_TWICE")
    past = await refused(hands.put(entry(member), entry(new_id(), **soon(-1))))
    assert (past.code, past.reason) == (StatusCode.INVALID_ARGUMENT, "EXPIRE_TIME_PAST")
    empty = await refused(hands.put())
    assert empty.code is StatusCode.INVALID_ARGUMENT
    assert await hands.entries(value=member) == []


async def test_what_an_action_listed_is_lifted_and_not_removed(
    desk: Desk, hands: ActionDesk
) -> None:
    """AF-04: entries by hand and by action stand side by side; each has its own way out."""
    device = new_id()
    action = await hands.take(device, DENY_LIST, key=key(device, DEVICE))
    refusal = await refused(hands.remove(entry(device, DEVICE)))
    assert (refusal.reason, refusal.metadata["action_id"]) == (
        "LIST_ENTRY_OF_ACTION", action.action_id,
    )  # fmt: skip
    await hands.put(entry(device, DEVICE))
    assert len(await hands.entries(value=device, list=DENIED)) == 2
    await hands.lift(action)
    assert await desk.actions(operation(new_id(), device=device)) == [DENY]
    assert await hands.remove(entry(device, DEVICE)) == 1
    assert await desk.actions(operation(new_id(), device=device)) == [ALLOW]
