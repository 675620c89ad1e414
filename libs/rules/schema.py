"""Holds a program against the rules written into its schema and words the outcome."""

import re
from typing import Any

from protovalidate import Validator

from laurel.program.v1.program_pb2 import Program
from rules.mistakes import Report
from rules.reading import AnyDescriptor, enum_names

_validator = Validator()
_DECIMAL = re.compile(r"\^\[0-9\]\{1,(\d+)\}\(\\\.\[0-9\]\{1,(\d+)\}\)\?\$")
_NAME = "^[a-z][a-z0-9_]{0,62}$"
_HINTS = {
    _NAME: "lower-case letters, digits and _, beginning with a letter, at most 63 characters",
    "^([a-z][a-z0-9_]{0,62})?$": "lower-case letters, digits and _, beginning with a letter",
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2})?$": "such as 2026-11-01 or 2026-11-01T20:00",
    "^[A-Z]{3}$": "a code of ISO 4217 in capitals, such as USD",
    "^(0(\\.[0-9]{1,6})?|1(\\.0{1,6})?)$": "a decimal from 0 to 1, such as 0.5",
    "^0(\\.[0-9]{1,6})?$": "a decimal of 0 and below 1, such as 0.05",
}


def check_schema(program: Program, report: Report) -> None:
    """Reports every broken rule of the schema at a path that has no mistake yet."""
    for violation in _validator.collect_violations(program):
        field_path = violation.proto.field
        elements = list(field_path.elements) if field_path is not None else []
        path, rule = _path(elements), violation.proto.rule_id
        known = report.faultless_below if rule == "repeated.unique" else report.faultless
        if known(path):
            field = _descriptor(Program.DESCRIPTOR, elements)
            value = violation.field_value if path in report.places else ""
            report.add(path, _reason(field, rule, violation.proto.message, value))


def _path(elements: list[Any]) -> str:
    path = ""
    for element in elements:
        path += f".{element.field_name}" if path else element.field_name
        if element.subscript is not None:
            path += f"[{element.subscript.value}]"
    return path


def _descriptor(descriptor: AnyDescriptor, elements: list[Any]) -> AnyDescriptor | list[str]:
    """Returns the field at the end of a path, or the choices where a oneof stands there."""
    for element in elements[:-1]:
        descriptor = descriptor.fields_by_name[element.field_name].message_type
    name = elements[-1].field_name
    oneof = descriptor.oneofs_by_name.get(name)
    if oneof is not None:
        return [field.name for field in oneof.fields]
    return descriptor.fields_by_name[name]


def _reason(field: AnyDescriptor | list[str], rule: str, message: str, value: object) -> str:
    if isinstance(field, list):
        return f"needs one of {', '.join(field)}"
    if field.enum_type is not None and rule.startswith("enum."):
        return f"is missing; write one of {', '.join(enum_names(field.enum_type))}"
    if rule == "required":
        return "is missing; describe it"
    wanted = message.removeprefix("value ").removeprefix("must ")
    if rule == "string.pattern":
        wanted = "be " + _pattern_hint(message)
    if rule == "string.min_len":
        return "is missing; write it"
    if value == "":
        return f"is missing; it must {wanted}"
    if isinstance(value, str | int):
        return f"is {value!s:.60}; it must {wanted}"
    return f"must {wanted}"


def _pattern_hint(message: str) -> str:
    pattern = message.partition("`")[2].rpartition("`")[0]
    decimal = _DECIMAL.fullmatch(pattern)
    if decimal:
        before, after = decimal.groups()
        return f"a decimal of at most {before} digits, with up to {after} more after a point"
    return _HINTS.get(pattern, message)
