"""What differs between two programs, field by field (PG-02)."""

from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from laurel.program.v1.program_pb2 import Program
from rules.reading import AnyDescriptor, enum_names


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that differs; before is empty where it is new, after where it is gone."""

    path: str
    before: str
    after: str


def differences(before: Program, after: Program) -> tuple[Difference, ...]:
    """Returns the fields that differ, in the order of the schema.

    Items of a list are matched by their name or id, `tiers.ladder[gold].qualify_spend`, or by what
    they choose, `antifraud.rules[farm].reactions[deny_list device].duration_days`, so that one
    inserted at the top is one difference and not a change of all that follow.
    """
    found: list[Difference] = []
    _compare(before, after, "", found)
    return tuple(found)


def _compare(
    before: Message | None, after: Message | None, path: str, found: list[Difference]
) -> None:
    message = after if after is not None else before
    if message is None:
        return
    for field in message.DESCRIPTOR.fields:
        place = f"{path}.{field.name}" if path else field.name
        if field.message_type is not None and field.is_repeated:
            _compare_items(_items(before, field), _items(after, field), place, found)
        elif field.message_type is not None:
            _compare(_child(before, field), _child(after, field), place, found)
        elif (before is not None and after is not None) or _is_written(message, field):
            _add(place, _text(before, field), _text(after, field), found)


def _compare_items(
    before: dict[str, Message], after: dict[str, Message], path: str, found: list[Difference]
) -> None:
    common_before = [key for key in before if key in after]
    common_after = [key for key in after if key in before]
    if common_before != common_after:
        _add(path, ", ".join(common_before), ", ".join(common_after), found)
    for key in dict.fromkeys([*after, *before]):
        _compare(before.get(key), after.get(key), f"{path}[{key}]", found)


def _is_written(message: Message, field: AnyDescriptor) -> bool:
    """Of a group that comes or goes only what was written in it is told."""
    return any(field.number == one.number for one, _ in message.ListFields())


def _items(message: Message | None, field: AnyDescriptor) -> dict[str, Message]:
    if message is None:
        return {}
    items: Any = getattr(message, field.name)
    return {_key_of(item): item for item in items}


def _key_of(item: Message) -> str:
    """What an item is known by: its id or name, else all it chooses, such as `deny_list device`."""
    fields = item.DESCRIPTOR.fields_by_name
    for name in ("id", "name"):
        if name in fields:
            return str(getattr(item, name))
    chosen = [field for field, _ in item.ListFields() if field.enum_type is not None]
    return " ".join(_text(item, field) for field in chosen)


def _child(message: Message | None, field: AnyDescriptor) -> Message | None:
    if message is None or not message.HasField(field.name):
        return None
    child: Message = getattr(message, field.name)
    return child


def _text(message: Message | None, field: AnyDescriptor) -> str:
    if message is None or (field.has_presence and not message.HasField(field.name)):
        return ""
    value: Any = getattr(message, field.name)
    if field.is_repeated:
        return ", ".join(_scalar_text(item, field) for item in value)
    return _scalar_text(value, field)


def _scalar_text(value: str | int | bool, field: AnyDescriptor) -> str:
    if field.enum_type is not None:
        names = {number: name for name, number in enum_names(field.enum_type).items()}
        return names.get(int(value), str(value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _add(path: str, before: str, after: str, found: list[Difference]) -> None:
    if before != after:
        found.append(Difference(path, before, after))
