"""The ``.pyi`` text for one ``.proto`` file: what type checkers and editors know of the generated classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

_SCALARS = {
    FieldDescriptorProto.TYPE_DOUBLE: "float",
    FieldDescriptorProto.TYPE_FLOAT: "float",
    FieldDescriptorProto.TYPE_INT64: "int",
    FieldDescriptorProto.TYPE_UINT64: "int",
    FieldDescriptorProto.TYPE_INT32: "int",
    FieldDescriptorProto.TYPE_UINT32: "int",
    FieldDescriptorProto.TYPE_BOOL: "bool",
    FieldDescriptorProto.TYPE_STRING: "str",
    FieldDescriptorProto.TYPE_BYTES: "bytes",
    FieldDescriptorProto.TYPE_ENUM: "int",
}
_HEAD = '''"""Generated from {name} by scripts/protos; do not edit."""

from collections.abc import Iterable, Mapping
from typing import Literal

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.internal.containers import (
    MessageMap,
    RepeatedCompositeFieldContainer,
    RepeatedScalarFieldContainer,
    ScalarMap,
)
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message
'''


def interface_text(file: FileDescriptorProto, imported_modules: Sequence[str]) -> str:
    """The whole ``.pyi``; ``imported_modules`` are the generated modules of the files that ``file`` imports."""
    writer = _Writer(f".{file.package}.", {})
    for message in file.message_type:
        writer.find_maps(message, f".{file.package}.")
    lines = [f"from rapide.proto.generated.{module} import *" for module in imported_modules]
    lines += ["", "DESCRIPTOR: FileDescriptor"]
    for enum in file.enum_type:
        lines += _enum(enum)
    for message in file.message_type:
        lines += ["", *writer.message(message)]
    return _HEAD.format(name=file.name) + "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    read: str
    """The type of the attribute."""
    given: str
    """The type that the constructor takes."""
    presence: bool
    """Whether ``HasField`` can be asked."""


@dataclass(frozen=True, slots=True)
class _Writer:
    package: str
    map_entries: dict[str, DescriptorProto]
    """The hidden message of each map field, by full name: its two fields are the map's key and value."""

    def find_maps(self, message: DescriptorProto, prefix: str) -> None:
        for nested in message.nested_type:
            if nested.options.map_entry:
                self.map_entries[f"{prefix}{message.name}.{nested.name}"] = nested
            self.find_maps(nested, f"{prefix}{message.name}.")

    def message(self, message: DescriptorProto) -> list[str]:
        lines: list[str] = []
        for enum in message.enum_type:
            lines += _enum(enum)
        for nested in message.nested_type:
            if not nested.options.map_entry:
                lines += self.message(nested)
        fields = [self.field(field) for field in message.field]
        lines += [f"{field.name}: {field.read}" for field in fields]
        lines += _methods(message, fields)
        return [f"class {message.name}(Message):", *(f"    {line}" for line in lines)]

    def field(self, field: FieldDescriptorProto) -> _Field:
        if field.type_name in self.map_entries:
            key, value = (self.type_of(part) for part in self.map_entries[field.type_name].field)
            holder = "MessageMap" if value not in _SCALARS.values() else "ScalarMap"
            return _Field(field.name, f"{holder}[{key}, {value}]", f"Mapping[{key}, {value}]", presence=False)
        item = self.type_of(field)
        is_message = field.type == FieldDescriptorProto.TYPE_MESSAGE
        if field.label == FieldDescriptorProto.LABEL_REPEATED:
            kind = "Composite" if is_message else "Scalar"
            return _Field(field.name, f"Repeated{kind}FieldContainer[{item}]", f"Iterable[{item}]", presence=False)
        return _Field(field.name, item, item, presence=is_message or field.HasField("oneof_index"))

    def type_of(self, field: FieldDescriptorProto) -> str:
        if field.type == FieldDescriptorProto.TYPE_MESSAGE:
            return field.type_name.removeprefix(self.package)
        return _SCALARS[field.type]


def _enum(enum: EnumDescriptorProto) -> list[str]:
    return [f"{enum.name}: EnumTypeWrapper", *(f"{value.name}: int" for value in enum.value)]


def _methods(message: DescriptorProto, fields: Sequence[_Field]) -> Iterator[str]:
    given = "".join(f", {field.name}: {field.given} | None = ..." for field in fields)
    yield f"def __init__(self{', *' if given else ''}{given}) -> None: ..."
    asked = [
        f'"{name}"' for name in [*(f.name for f in fields if f.presence), *(o.name for o in message.oneof_decl)]
    ]
    if asked:
        yield f"def HasField(self, field_name: Literal[{', '.join(asked)}]) -> bool: ..."
    if message.oneof_decl:
        yield from _which_oneof(message)


def _which_oneof(message: DescriptorProto) -> Iterator[str]:
    for index, oneof in enumerate(message.oneof_decl):
        members = ", ".join(
            f'"{field.name}"'
            for field in message.field
            if field.HasField("oneof_index") and field.oneof_index == index
        )
        group = f'oneof_group: Literal["{oneof.name}"]'
        yield f"def WhichOneof(self, {group}) -> Literal[{members}] | None: ..."
