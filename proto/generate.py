"""Generates ``generated/*_pb2.py`` and ``.pyi`` from the ``.proto`` files (``scripts/protos [--check]``).

protoc (from grpcio-tools) only parses: the modules are written here, so that they do not depend on its version
and register in our own pool (``pool.py`` says why). A module holds the serialized file descriptor and names its
classes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

from rapide.proto.interfaces import interface_text

SOURCES = (
    "model_config.proto",
    "open_inference.proto",
    "rapide/v1/predict.proto",
    "health.proto",
    "reflection_v1.proto",
    "reflection_v1alpha.proto",
    "onnx_outline.proto",
)
"""In the order of their imports."""
_CHUNK_BYTES = 64
"""Descriptor bytes in one source line: short lines make short diffs."""


def main(arguments: list[str] | None = None) -> int:
    """Writes what changed; with ``--check`` writes nothing and returns 1 if anything would change."""
    parser = argparse.ArgumentParser(
        prog="scripts/protos", description="Generate proto/generated from proto/*.proto."
    )
    parser.add_argument("--check", action="store_true", help="only say whether the generated files are up to date")
    check = parser.parse_args(arguments).check
    folder = Path(__file__).resolve().parent
    stale = []
    for name, text in generate(folder):
        path = folder / "generated" / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                path.write_text(text, encoding="utf-8")
    if stale and check:
        print(f"out of date: {', '.join(stale)}; run scripts/protos", file=sys.stderr)
        return 1
    print(f"{'written: ' + ', '.join(stale) if stale else 'up to date'}")
    return 0


def generate(folder: Path) -> Iterator[tuple[str, str]]:
    """File names and texts for ``generated/``."""
    for file in parse(folder):
        stem = _module_name(file.name)
        yield f"{stem}.py", _module_text(file)
        yield f"{stem}.pyi", interface_text(file, [_module_name(name) for name in file.dependency])


def parse(folder: Path) -> list[FileDescriptorProto]:
    """The descriptors of SOURCES. Raises SystemExit when protoc refuses one (it prints where and why)."""
    # Here, because only who changes a .proto needs it; it has no type information.
    from grpc_tools import protoc  # type: ignore[import-untyped]  # noqa: PLC0415

    with tempfile.NamedTemporaryFile(suffix=".binpb") as out:
        code = protoc.main(["protoc", f"-I{folder}", f"--descriptor_set_out={out.name}", *SOURCES])
        if code:
            raise SystemExit(code)
        files = list(FileDescriptorSet.FromString(out.read()).file)
    for file in files:
        for message in file.message_type:
            _drop_json_names(message)
    return files


def _drop_json_names(message: DescriptorProto) -> None:
    # protoc writes every derivable camelCase name; the pool derives them again.
    for field in message.field:
        field.ClearField("json_name")
    for nested in message.nested_type:
        _drop_json_names(nested)


def _module_name(proto_name: str) -> str:
    return f"{Path(proto_name).stem}_pb2"


def _module_text(file: FileDescriptorProto) -> str:
    imports = [
        f"from rapide.proto.generated import {_module_name(name)}  # noqa: F401" for name in file.dependency
    ]
    helpers = ["add_file", *(["enum_type"] if file.enum_type else []), "message_class"]
    lines = [
        f'"""Generated from {file.name} by scripts/protos; do not edit."""',
        "",
        *imports,
        f"from rapide.proto.pool import {', '.join(helpers)}",
        "",
        "DESCRIPTOR = add_file(",
        *(f"    {chunk!r}" for chunk in _chunks(file.SerializeToString(deterministic=True))),
        ")",
        "",
    ]
    for enum in file.enum_type:
        lines.append(f'{enum.name} = enum_type("{file.package}.{enum.name}")')
        lines += [f"{value.name} = {value.number}" for value in enum.value]
    lines += [
        f'{message.name} = message_class("{file.package}.{message.name}", __name__)'
        for message in file.message_type
    ]
    return "\n".join(lines) + "\n"


def _chunks(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _CHUNK_BYTES):
        yield data[start : start + _CHUNK_BYTES]


if __name__ == "__main__":
    raise SystemExit(main())
