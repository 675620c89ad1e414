"""Reads YAML into a small tree that remembers where everything was written."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

SOURCE_BYTES_MAX = 1 << 20
DEPTH_MAX = 20
NODES_MAX = 50_000

# libyaml where the wheel has it: ten times as fast, which matters at the size limit.
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class Scalar:
    """A word, a number or a text, as it was written."""

    line: int
    column: int
    text: str = ""
    plain: bool = True
    fault: str = ""


@dataclass(slots=True)
class Fields:
    """A mapping of names to values, in the order written; a name may occur twice."""

    line: int
    column: int
    entries: list[tuple["Node", "Node"]] = field(default_factory=list)
    key: "Node | None" = None
    fault: str = ""


@dataclass(slots=True)
class Items:
    """A list."""

    line: int
    column: int
    items: list["Node"] = field(default_factory=list)
    fault: str = ""


Node = Scalar | Fields | Items


class YamlInvalid(Exception):
    """The text is no YAML document that a program may be written in."""

    def __init__(self, reason: str, line: int = 1, column: int = 1) -> None:
        super().__init__(reason)
        self.reason, self.line, self.column = reason, line, column


def parse(source: str) -> Node:
    """Returns the tree of the only document in `source`; raises YamlInvalid."""
    if len(source.encode(errors="surrogatepass")) > SOURCE_BYTES_MAX:
        raise YamlInvalid(f"the document is larger than {SOURCE_BYTES_MAX} bytes; shorten it")
    try:
        return _build(yaml.parse(source, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise YamlInvalid(f"is not YAML: {error.problem}", line, column) from None
    except yaml.reader.ReaderError as error:
        before = source[: error.position]
        if _LOADER is not yaml.SafeLoader:
            # libyaml counts bytes.
            before = source.encode()[: error.position].decode(errors="ignore")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise YamlInvalid("has a character that YAML does not allow", line, column) from None
    except UnicodeEncodeError:
        raise YamlInvalid("has a character that is not Unicode text") from None


def _build(events: Iterator[yaml.Event]) -> Node:
    root: Node | None = None
    stack: list[Fields | Items] = []
    count = 0
    for event in events:
        mark = event.start_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        if isinstance(event, yaml.DocumentStartEvent) and root is not None:
            raise YamlInvalid("a second document begins here; keep only one", line, column)
        if isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
        if not isinstance(event, yaml.NodeEvent):
            continue
        node = _node(event, line, column)
        count += 1
        if count > NODES_MAX:
            raise YamlInvalid(f"has more than {NODES_MAX} values; shorten it", line, column)
        if stack:
            _attach(stack[-1], node)
        else:
            root = node
        if isinstance(event, yaml.CollectionStartEvent) and not isinstance(node, Scalar):
            stack.append(node)
            if len(stack) > DEPTH_MAX:
                raise YamlInvalid(f"is nested deeper than {DEPTH_MAX} levels", line, column)
    if root is None:
        raise YamlInvalid("the document is empty; describe a program")
    return root


def _node(event: yaml.NodeEvent, line: int, column: int) -> Node:
    # An alias can blow a small text up to any size, and hides what an operator wants to read.
    if isinstance(event, yaml.AliasEvent):
        return Scalar(line, column, fault="is an alias; write the value out")
    fault = "has a tag; remove it" if getattr(event, "tag", None) else ""
    if isinstance(event, yaml.MappingStartEvent):
        return Fields(line, column, fault=fault)
    if isinstance(event, yaml.SequenceStartEvent):
        return Items(line, column, fault=fault)
    if not isinstance(event, yaml.ScalarEvent):
        raise YamlInvalid("is not YAML", line, column)
    return Scalar(line, column, event.value, event.style in (None, ""), fault)


def _attach(parent: Fields | Items, node: Node) -> None:
    if isinstance(parent, Items):
        parent.items.append(node)
    elif parent.key is None:
        parent.key = node
    else:
        parent.entries.append((parent.key, node))
        parent.key = None
