"""Checks a message against the rules of the contract, before anything else looks at it."""

from google.protobuf.message import Message
from protovalidate import Validator, Violation

from kit.errors import InvalidArgument
from kit.errors import Violation as FieldViolation

VALUE_SHOWN_MAX = 60

_validator = Validator()


def check(message: Message) -> None:
    """Raises InvalidArgument that names every field at fault with its value and the reason."""
    violations = _validator.collect_violations(message)
    if violations:
        raise InvalidArgument(*(_render(violation) for violation in violations))


def _render(violation: Violation) -> FieldViolation:
    path = ""
    for element in violation.proto.field.elements if violation.proto.field else ():
        path += f".{element.field_name}" if path else element.field_name
        subscript = element.subscript
        if subscript is not None:
            path += f"[{subscript.value}]"
    return FieldViolation(
        path or "request", f"{violation.proto.message}{_shown(violation.field_value)}"
    )


def _shown(value: object) -> str:
    if value is None or isinstance(value, Message):
        return ""
    text = repr(value)
    if len(text) > VALUE_SHOWN_MAX:
        text = f"{text[:VALUE_SHOWN_MAX]}… of {len(text)} characters"
    return f", got {text}"
