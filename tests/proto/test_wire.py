"""Field names, numbers, types and method shapes against the packages that define them in public."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from grpc_health.v1 import health_pb2 as public_health
from grpc_reflection.v1alpha import reflection_pb2 as public_reflection
from tritonclient.grpc import model_config_pb2 as public_config
from tritonclient.grpc import service_pb2 as public_inference

from rapide.proto import (
    health_pb2,
    model_config_pb2,
    open_inference_pb2,
    reflection_v1_pb2,
    reflection_v1alpha_pb2,
)

PAIRS = [
    (open_inference_pb2, public_inference),
    (model_config_pb2, public_config),
    (health_pb2, public_health),
    (reflection_v1alpha_pb2, public_reflection),
]
PARTIAL = {"ModelConfig", "ModelInput", "ModelOutput", "ModelInstanceGroup", "ModelDynamicBatching"}
"""Messages of which we fill, and so define, only some fields."""

ADDED_LATER = {"HealthListRequest", "HealthListResponse", "StatusesEntry", "List"}
"""What releases of the public packages that we still test with do not know yet."""


def known(names: Iterable[str], public: Iterable[str]) -> set[str]:
    """``names`` without what the installed public package is too old for."""
    return {name for name in names if name in public or name.rpartition(".")[2] not in ADDED_LATER}


def messages(file: Any) -> dict[str, Any]:
    found = {}

    def visit(message: Any) -> None:
        found[message.full_name] = message
        for nested in message.nested_types:
            visit(nested)

    for message in file.message_types_by_name.values():
        visit(message)
    return found


def fields(message: Any) -> dict[str, tuple[Any, ...]]:
    def kind(field: Any) -> Any:
        named = field.message_type or field.enum_type
        return named.full_name if named else field.type

    return {
        field.name: (
            field.number,
            kind(field),
            field.is_repeated,
            field.containing_oneof.name if field.containing_oneof else None,
        )
        for field in message.fields
    }


@pytest.mark.parametrize(("ours", "public"), PAIRS, ids=lambda module: module.DESCRIPTOR.name)
def test_messages_match_the_public_ones(ours: Any, public: Any) -> None:
    theirs = messages(public.DESCRIPTOR)
    mine_by_name = messages(ours.DESCRIPTOR)
    for name in known(mine_by_name, theirs):
        message = mine_by_name[name]
        mine, wanted = fields(message), fields(theirs[name])
        if message.name in PARTIAL:
            wanted = {field: wanted[field] for field in mine}
        assert mine == wanted, name


@pytest.mark.parametrize(("ours", "public"), PAIRS, ids=lambda module: module.DESCRIPTOR.name)
def test_no_public_message_of_a_served_method_is_missing(ours: Any, public: Any) -> None:
    if ours is not model_config_pb2:
        theirs = messages(public.DESCRIPTOR).keys()
        assert known(messages(ours.DESCRIPTOR), theirs) == theirs


@pytest.mark.parametrize(("ours", "public"), PAIRS, ids=lambda module: module.DESCRIPTOR.name)
def test_enums_match_the_public_ones(ours: Any, public: Any) -> None:
    for name, enum in ours.DESCRIPTOR.enum_types_by_name.items():
        public_enum = public.DESCRIPTOR.enum_types_by_name[name]
        assert {v.name: v.number for v in enum.values} == {v.name: v.number for v in public_enum.values}


@pytest.mark.parametrize(("ours", "public"), PAIRS, ids=lambda module: module.DESCRIPTOR.name)
def test_methods_match_the_public_ones(ours: Any, public: Any) -> None:
    def shape(file: Any) -> Any:
        return {
            m.full_name: (
                m.input_type.full_name,
                m.output_type.full_name,
                m.client_streaming,
                m.server_streaming,
            )
            for service in file.services_by_name.values()
            for m in service.methods
        }

    mine, theirs = shape(ours.DESCRIPTOR), shape(public.DESCRIPTOR)
    assert {name: mine[name] for name in known(mine, theirs)} == theirs


def test_both_reflections_are_one_but_for_the_package() -> None:
    newer, older = (
        {name.rpartition(".")[2]: {f: v[0] for f, v in fields(m).items()} for name, m in messages(file).items()}
        for file in (reflection_v1_pb2.DESCRIPTOR, reflection_v1alpha_pb2.DESCRIPTOR)
    )
    assert newer == older
