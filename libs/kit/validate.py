"""Checks a message against the rules of the contract, before anything else looks at it.

Postgres' text holds every character but NUL, and one row with it would fail the whole batch
that it shares a statement with: no string of a request may hold it.
"""

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from protovalidate import Validator, Violation

from buf.validate import validate_pb2
from kit.errors import InvalidArgument
from kit.errors import Violation as FieldViolation

VALUE_SHOWN_MAX = 60

_validator = Validator()


PLAIN_LENGTH_MAX = 128


def is_plain_text(text: str) -> bool:
    """Whether a text is 1 to 128 printable ASCII characters, which every id of the contract may
    be.
    """
    return 0 < len(text) <= PLAIN_LENGTH_MAX and text.isascii() and text.isprintable()


def check(message: Message, prefix: str = "") -> None:
    """Raises InvalidArgument that names every field at fault with its value and the reason.

    `prefix` is where the message stands in the request, such as `rows[3].`.
    """
    violations = _validator.collect_violations(message)
    found = [_render(violation, prefix) for violation in violations]
    # Looking through the bytes costs next to nothing, through the fields much more. Only an empty
    # submessage or an explicit zero puts this byte into a message without such a string.
    if b"\0" in message.SerializeToString():
        found += _with_nul(message, prefix)
    if found:
        raise InvalidArgument(*found)


def _with_nul(message: Message, prefix: str) -> Iterator[FieldViolation]:
    """The strings in a message that hold a NUL character."""
    for field, value in message.ListFields():
        if _answers_for_itself(field):
            continue
        for path, item in _items(field, value, prefix):
            if isinstance(item, Message):
                yield from _with_nul(item, f"{path}.")
            elif isinstance(item, str) and "\0" in item:
                reason = f"holds a NUL character; leave it out{_shown(item)}"
                yield FieldViolation(path, reason)


def _items(field: FieldDescriptor, value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    name = f"{prefix}{field.name}"
    if not field.is_repeated:
        yield name, value
    elif field.message_type is not None and field.message_type.GetOptions().map_entry:
        for key in value:
            yield from ((name, part) for part in (key, value[key]))
    else:
        yield from ((f"{name}[{index}]", item) for index, item in enumerate(value))


def _answers_for_itself(field: FieldDescriptor) -> bool:
    """Whether the items are rows of a batch, which are checked one by one."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    return bool(rules.repeated.items.ignore == validate_pb2.IGNORE_ALWAYS)


def _render(violation: Violation, prefix: str) -> FieldViolation:
    path = ""
    for element in violation.proto.field.elements if violation.proto.field else ():
        path += f".{element.field_name}" if path else element.field_name
        subscript = element.subscript
        if subscript is not None:
            path += f"[{subscript.value}]"
    return FieldViolation(
        f"{prefix}{path}" or "request", f"{violation.proto.message}{_shown(violation.field_value)}"
    )


def _shown(value: object) -> str:
    if value is None or isinstance(value, Message):
        return ""
    text = repr(value)
    if len(text) > VALUE_SHOWN_MAX:
        text = f"{text[:VALUE_SHOWN_MAX]}… of {len(text)} characters"
    return f", got {text}"
