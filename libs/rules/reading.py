"""Walks a YAML tree against the schema of the program and fills the message."""

import re
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from rules.mistakes import Report, did_you_mean, parent
from rules.yaml_tree import Fields, Items, Node, Scalar

# The stubs know two unrelated classes for each kind of descriptor.
AnyDescriptor = Any

_NOTHING = frozenset({"", "~", "null", "Null", "NULL"})
_TRUTH = {"true": True, "false": False}
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_INT_BITS = {FieldDescriptor.TYPE_INT32: 31, FieldDescriptor.TYPE_INT64: 63}


class _Wrong(Exception):
    """A value that does not fit its field; the text says what to do."""


def read_into(message: Message, node: Node, path: str, report: Report) -> None:
    """Fills `message` from `node`; everything that does not fit is reported and left unset."""
    if not isinstance(node, Fields) or node.fault:
        report.add(path, node.fault or "must be a group of fields, written `field: value`")
        return
    seen: dict[str, int] = {}
    for key, value in node.entries:
        name = key.text if isinstance(key, Scalar) and not key.fault else ""
        place = _join(path, name or "?")
        field = message.DESCRIPTOR.fields_by_name.get(name)
        if field is None:
            _report_unknown(message.DESCRIPTOR, key, name, path, report)
        elif name in seen:
            reason = f"is written twice, first in line {seen[name]}; remove one"
            report.add(place, reason, (key.line, key.column))
        else:
            report.places[place] = (key.line, key.column)
            _read_field(message, field, value, place, report)
        seen.setdefault(name, key.line)


def _read_field(
    message: Message, field: AnyDescriptor, node: Node, path: str, report: Report
) -> None:
    other = _set_before(message, field)
    if other:
        report.add(path, f"cannot stand beside {other}; keep only one of the two")
    elif field.is_repeated:
        _read_items(message, field, node, path, report)
    elif field.message_type is not None:
        child = getattr(message, field.name)
        child.SetInParent()
        read_into(child, node, path, report)
    else:
        value = _read_value(field, node, path, report)
        if value is not None:
            setattr(message, field.name, value)
        elif field.containing_oneof is not None:
            # It was chosen, if badly: that none was is not a second mistake.
            report.silence(_join(parent(path), field.containing_oneof.name))


def _set_before(message: Message, field: AnyDescriptor) -> str | None:
    oneof = field.containing_oneof
    return message.WhichOneof(oneof.name) if oneof is not None else None


def _read_items(
    message: Message, field: AnyDescriptor, node: Node, path: str, report: Report
) -> None:
    if not isinstance(node, Items) or node.fault:
        report.add(path, node.fault or "must be a list, written `- value` or `[value, value]`")
        return
    items: Any = getattr(message, field.name)
    for index, item in enumerate(node.items):
        place = f"{path}[{index}]"
        report.places[place] = (item.line, item.column)
        if field.message_type is not None:
            read_into(items.add(), item, place, report)
        else:
            value = _read_value(field, item, place, report)
            # A placeholder keeps the index of what follows; its place is blamed already.
            items.append(_zero(field) if value is None else value)


def _zero(field: AnyDescriptor) -> str | int:
    return "" if field.type == FieldDescriptor.TYPE_STRING else 0


def _read_value(
    field: AnyDescriptor, node: Node, path: str, report: Report
) -> str | int | bool | None:
    try:
        if not isinstance(node, Scalar):
            raise _Wrong("must be a single value")
        if node.fault:
            raise _Wrong(node.fault)
        if node.plain and node.text in _NOTHING:
            raise _Wrong("has no value; give it one or remove the field")
        return _PARSERS[field.type](field, node)
    except _Wrong as wrong:
        report.add(path, str(wrong))
        return None


def _string(field: AnyDescriptor, node: Scalar) -> str:
    # Postgres' text holds every character but this: whatever told a member of it would fail.
    if "\0" in node.text:
        raise _Wrong("holds a NUL character; leave it out")
    return node.text


def _integer(field: AnyDescriptor, node: Scalar) -> int:
    if not node.plain or not _INTEGER.fullmatch(node.text):
        raise _Wrong(f'is "{_short(node.text)}"; write a whole number without quotes, such as 30')
    value, limit = int(node.text), 1 << _INT_BITS[field.type]
    if not -limit <= value < limit:
        raise _Wrong(f"is {node.text}; write a number below {limit}")
    return value


def _boolean(field: AnyDescriptor, node: Scalar) -> bool:
    value = _TRUTH.get(node.text.lower()) if node.plain else None
    if value is None:
        raise _Wrong(f'is "{_short(node.text)}"; write true or false')
    return value


def _enum(field: AnyDescriptor, node: Scalar) -> int:
    choices = enum_names(field.enum_type)
    value = choices.get(node.text.lower())
    if value is None:
        hint = did_you_mean(node.text.lower(), list(choices))
        raise _Wrong(f'is "{_short(node.text)}", which is not known{hint}')
    return value


_PARSERS: dict[int, Callable[[AnyDescriptor, Scalar], str | int | bool]] = {
    FieldDescriptor.TYPE_STRING: _string,
    FieldDescriptor.TYPE_INT32: _integer,
    FieldDescriptor.TYPE_INT64: _integer,
    FieldDescriptor.TYPE_BOOL: _boolean,
    FieldDescriptor.TYPE_ENUM: _enum,
}


def enum_names(enum: AnyDescriptor) -> dict[str, int]:
    """Returns the names that a document uses for an enum: lower case, without prefix and zero."""
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {v.name.removeprefix(prefix).lower(): v.number for v in enum.values if v.number}


def _report_unknown(
    descriptor: AnyDescriptor, key: Node, name: str, path: str, report: Report
) -> None:
    known = [field.name for field in descriptor.fields]
    hint = did_you_mean(name, known)
    place = _join(path, name or "?")
    report.add(place, f"is not a field of the program{hint}", (key.line, key.column))
    # The field that was meant is missing now: that is the same mistake, not a second one.
    for field in descriptor.fields:
        if hint == f"; did you mean {field.name}?":
            report.silence(_join(path, field.name))
            if field.containing_oneof is not None:
                report.silence(_join(path, field.containing_oneof.name))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
