"""The private descriptor pool that every generated module registers in.

tritonclient and KServe's client register the same message names (package ``inference``) in protobuf's default
pool, with small differences, and one pool takes each name once. In a pool of our own both live in one process,
whichever is imported first. Nor do we use protoc's own Python output: it registers in the default pool, and
refuses to run on a protobuf older than its generator. Classes made from descriptors work with every protobuf since
6.31.
"""

from __future__ import annotations

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

POOL = DescriptorPool()
"""Grows when a generated module is imported, what it imports first; never afterwards."""


def add_file(serialized: bytes) -> FileDescriptor:
    """Registers one serialized ``FileDescriptorProto``."""
    return POOL.AddSerializedFile(serialized)


def message_class(full_name: str, module: str) -> type[Message]:
    """The class of a registered message; nested messages are its attributes. ``module`` is where it is found."""
    descriptor = POOL.FindMessageTypeByName(full_name)
    made = GetMessageClass(descriptor)
    made.__module__ = module
    for nested in descriptor.nested_types:
        if not hasattr(made, nested.name):  # protobuf's pure-Python implementation leaves them out
            setattr(made, nested.name, message_class(nested.full_name, module))
    return made


def enum_type(full_name: str) -> EnumTypeWrapper:
    """A registered enum, with ``Name(number)`` and ``Value(name)``."""
    return EnumTypeWrapper(POOL.FindEnumTypeByName(full_name))
