"""The JSON schemas of the HTTP API's bodies, by the names that the route table uses."""

from __future__ import annotations

from typing import Any, Final

from rapide.server.signature import DataType

Schema = dict[str, Any]


def _object(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    schema: Schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = list(required)
    return schema


def _list(items: Schema, text: str = "") -> Schema:
    return {"type": "array", "items": items, **({"description": text} if text else {})}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _text(text: str = "", **more: Any) -> Schema:
    return {"type": "string", **({"description": text} if text else {}), **more}


def _integer(text: str = "") -> Schema:
    return {"type": "integer", **({"description": text} if text else {})}


def _any(text: str) -> Schema:
    return {"description": text}


_PARAMETERS: Final[Schema] = {
    "type": "object",
    "description": "Truths, numbers or texts by name.",
    "additionalProperties": {"type": ["boolean", "integer", "number", "string"]},
}
_SHAPE: Final = _list(_integer(), "Sizes of the dimensions; rows come first.")
_DATATYPE: Final = _text(enum=[str(datatype) for datatype in DataType])
_DATA: Final = _any(
    "Elements, nested or flat, row-major. Left out where they follow in binary or are in shared memory."
)
_VERSION: Final = _text("A whole number, as a text.")
_SETTINGS: Final[Schema] = {
    "type": "object",
    "additionalProperties": {"type": ["boolean", "integer", "string", "array", "null"]},
}

SCHEMAS: Final[dict[str, Schema]] = {
    "Error": _object(("error",), error=_text("What is wrong, where, and what to do.")),
    "Live": _object(("live",), live={"type": "boolean"}),
    "Ready": _object(("ready",), ready={"type": "boolean"}),
    "ServerMetadata": _object(
        ("name", "version", "extensions"), name=_text(), version=_text(), extensions=_list(_text())
    ),
    "TensorMetadata": _object(
        ("name", "datatype", "shape"),
        name=_text(),
        datatype=_DATATYPE,
        shape=_list(_integer(), "−1 is a size that each request chooses."),
    ),
    "ModelMetadata": _object(
        ("name", "versions", "platform", "inputs", "outputs"),
        name=_text(),
        versions=_list(_VERSION),
        platform=_text(),
        inputs=_list(_ref("TensorMetadata")),
        outputs=_list(_ref("TensorMetadata")),
        features=_list({"type": "object"}, "Named columns that :predict takes, where the model has a manifest."),
        predictions=_list({"type": "object"}, "Named columns that :predict gives."),
    ),
    "ModelConfig": _object(
        ("name", "platform", "max_batch_size", "input", "output"),
        name=_text(),
        platform=_text(),
        backend=_text(),
        max_batch_size=_integer("0: no batch dimension."),
        input=_list({"type": "object"}),
        output=_list({"type": "object"}),
    ),
    "ModelStatistics": _object(("model_stats",), model_stats=_list({"type": "object"})),
    "InferRequest": _object(
        ("inputs",),
        id=_text("Echoed in the answer."),
        parameters=_PARAMETERS,
        inputs=_list(
            _object(
                ("name", "shape", "datatype"),
                name=_text(),
                shape=_SHAPE,
                datatype=_DATATYPE,
                parameters=_PARAMETERS,
                data=_DATA,
            )
        ),
        outputs=_list(_object(("name",), name=_text(), parameters=_PARAMETERS), "Left out: all."),
    ),
    "InferResponse": _object(
        ("model_name", "model_version", "outputs"),
        model_name=_text(),
        model_version=_VERSION,
        id=_text(),
        parameters=_PARAMETERS,
        outputs=_list(
            _object(
                ("name", "shape", "datatype"),
                name=_text(),
                shape=_SHAPE,
                datatype=_DATATYPE,
                parameters=_PARAMETERS,
                data=_DATA,
            )
        ),
    ),
    "PredictRequest": _object(
        instances=_list(_any("One row: an object of named features, or values."), "Rows."),
        inputs=_any("Columns: an object of feature or input names, each with a list; instead of instances."),
        signature_name=_text(),
    ),
    "PredictResponse": _object(
        predictions=_list(_any("One row's answer."), "Row for row, when rows came."),
        outputs=_any("Columns, when columns came."),
    ),
    "TfStatus": _object(
        ("model_version_status",),
        name=_text(),
        ready={"type": "boolean"},
        model_version_status=_list(
            _object(
                ("version", "state", "status"),
                version=_VERSION,
                state=_text(enum=["START", "LOADING", "AVAILABLE", "UNLOADING", "END"]),
                status=_object(("error_code", "error_message"), error_code=_text(), error_message=_text()),
            )
        ),
    ),
    "IndexRequest": _object(ready={"type": "boolean", "description": "Only versions that can answer."}),
    "Index": _list(
        _object(
            ("name", "version", "state", "reason"), name=_text(), version=_text(), state=_text(), reason=_text()
        )
    ),
    "LoadRequest": _object(parameters=_PARAMETERS),
    "Nothing": _object(),
    "Regions": _list(
        _object(
            ("name", "key", "offset", "byte_size"),
            name=_text(),
            key=_text(),
            offset=_integer(),
            byte_size=_integer(),
        )
    ),
    "RegisterRegion": _object(
        ("key", "byte_size"),
        key=_text("Name of the POSIX shared-memory object."),
        offset=_integer(),
        byte_size=_integer(),
    ),
    "Settings": _SETTINGS,
    "Overview": _object(("server", "models"), server={"type": "object"}, models=_list({"type": "object"})),
    "Profile": {"type": "object"},
    "OpenApi": {"type": "object"},
}
