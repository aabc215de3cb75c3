"""One ONNX Runtime session: arrays in, arrays out. The only module of the server that imports onnxruntime.

The runtime's official builds may send telemetry, and would take session options out of a model's metadata if the
environment said so: both are switched off here, before it is imported. Custom operator libraries are never
registered.

Two datatypes need help. BYTES are ``bytes`` in our arrays and text in the runtime's. BF16 has no numpy type there,
so it travels as OrtValue; as the runtime makes no OrtValue of text, a model cannot have both BYTES inputs and BF16
outputs.

Empty tensors are what kernels are least written for: most answer rightly, some fail, and those of LSTM and GRU end
the process (onnxruntime 1.32). These never get one.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from rapide.server.errors import BrokenVersion, Internal, InvalidRequest, RapideError
from rapide.server.model.graph import GraphTensor
from rapide.server.signature import DataType
from rapide.server.tensors import NUMPY_DTYPES, Array

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ.pop("ORT_LOAD_CONFIG_FROM_MODEL", None)

import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

_BF16_ELEMENT_TYPE: Final = 16
"""TensorProto.BFLOAT16 (onnx.proto)."""
_SILENT: Final = 4
"""Log severity: only what ends the process. Errors come as exceptions; a caller must not fill the log."""
_RECURRENT: Final = (b"LSTM", b"GRU")
"""Parts of the operators' names whose kernels abort on an empty input."""
_LEVELS: Final[Mapping[str, Any]] = {
    "off": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How the runtime runs a model on this machine. Nothing of it belongs into the model's folder."""

    threads: int = 1
    """Within one run. Unset, the runtime would take every core of the host and ignore the container's quota."""
    spinning: bool = False
    """Whether threads wait for the next run by burning their core."""
    graph_level: Literal["off", "basic", "extended", "all"] = "all"
    """How far the graph is rewritten at load."""
    arena: bool = True
    """Whether memory is kept between runs."""
    dynamic_block_base: int = 0
    """Parts that a parallel loop is cut into, per thread and ever smaller; 0 cuts once, evenly."""
    max_rows_per_run: int = 0
    """Rows of one run; more go in parts, one after the other. 0 is no limit."""
    max_model_bytes: int = 2 * 1024 * 1024 * 1024
    """Largest ``model.onnx``; protobuf ends there. Larger weights belong into external data."""


class UnknownCategory(InvalidRequest):
    """A text in it is none of those that the model was trained on: ``Model.run`` says which."""


class Session:
    """A loaded graph. ``run`` is safe on several threads at once."""

    def __init__(self, model: bytes, folder: Path, *, has_external_data: bool, options: SessionOptions) -> None:
        """Loads ``model`` (a serialised ModelProto), external data from ``folder``. Blocking; releases the GIL.

        Raises BrokenVersion for what the runtime or the protocol cannot take.
        """
        settings = _settings(options)
        if has_external_data:
            settings.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
        try:
            self._session = ort.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise BrokenVersion(f"the runtime does not load it: {_reason(error)}") from error
        self._run = getattr(self._session, "_sess", self._session).run
        """Without the wrapper's checks, a quarter of a small model's run: ours always has all inputs."""
        self._takes_empty = not any(name in model for name in _RECURRENT)
        self.inputs = tuple(GraphTensor.of(argument) for argument in self._session.get_inputs())
        self.outputs = tuple(GraphTensor.of(argument) for argument in self._session.get_outputs())
        self.select([tensor.name for tensor in self.inputs], [tensor.name for tensor in self.outputs])

    def select(self, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Decides which inputs and outputs ``run`` speaks of, and in which order. Raises BrokenVersion."""
        datatypes = {tensor.name: tensor.datatype for tensor in (*self.inputs, *self.outputs)}
        self._input_names = list(inputs)
        self._output_names = list(outputs)
        self._encoders = [(name, _ENCODERS[datatypes[name]]) for name in inputs if datatypes[name] in _ENCODERS]
        self._texts = [index for index, name in enumerate(outputs) if datatypes[name] is DataType.BYTES]
        self._has_bf16_outputs = any(datatypes[name] is DataType.BF16 for name in outputs)
        if self._has_bf16_outputs and any(datatypes[name] is DataType.BYTES for name in inputs):
            raise BrokenVersion("the runtime cannot combine text inputs with BF16 outputs")

    def run(self, arrays: list[Array]) -> list[Array]:
        """The outputs for C-contiguous ``arrays``, in the selected order.

        Raises InvalidRequest where the input is to blame, Internal (caused by the runtime's error) otherwise.
        """
        feed: dict[str, Any] = dict(zip(self._input_names, arrays, strict=True))
        if not self._takes_empty and any(not array.size for array in arrays):
            raise InvalidRequest(self._emptiness(arrays))
        try:
            for name, encode in self._encoders:
                feed[name] = encode(name, feed[name])
            if self._has_bf16_outputs:
                outputs = self._run_on_values(feed)
            else:
                outputs = self._run(self._output_names, feed, None)
        except RapideError:
            raise
        except Exception as error:
            raise self._blamed(error, arrays) from error
        for index in self._texts:
            outputs[index] = _encoded_text(outputs[index])
        return outputs

    def _run_on_values(self, feed: dict[str, Any]) -> list[Array]:
        values = {
            name: value if isinstance(value, ort.OrtValue) else ort.OrtValue.ortvalue_from_numpy(value)
            for name, value in feed.items()
        }
        return [_array_of(value) for value in self._session.run_with_ort_values(self._output_names, values)]

    def _blamed(self, error: Exception, arrays: list[Array]) -> RapideError:
        if isinstance(error, InvalidArgument):
            return InvalidRequest(f"the model refuses this input: {_safe_reason(error)}")
        if _UNKNOWN_CATEGORY in str(error):
            return UnknownCategory(
                "the model refuses this input: a value in it is none of the categories that it was trained on",
                hint="The model's metadata lists the texts that each feature may have.",
            )
        fault = self._disagreement(arrays) or self._emptiness(arrays)
        if fault:
            return InvalidRequest(fault)
        return Internal("the model failed on this input; the log has the details")

    def _emptiness(self, arrays: list[Array]) -> str:
        """The input that has no elements, in words; empty if all have."""
        for name, array in zip(self._input_names, arrays, strict=True):
            if not array.size:
                return f"input {name!r} has shape {list(array.shape)}; the model cannot take an empty dimension"
        return ""

    def _disagreement(self, arrays: list[Array]) -> str:
        """Two inputs that give a dimension of the same name different sizes, in words; empty if there are none."""
        named: dict[str, tuple[str, int]] = {}
        dims = {tensor.name: tensor.dims for tensor in self.inputs}
        for name, array in zip(self._input_names, arrays, strict=True):
            for dim, size in zip(dims[name], array.shape, strict=True):
                if isinstance(dim, str):
                    other, known = named.setdefault(dim, (name, size))
                    if size != known:
                        return (
                            f"inputs {other!r} and {name!r} must have the same size in dimension {dim!r}; "
                            f"they have {known} and {size}"
                        )
        return ""


def _settings(options: SessionOptions) -> Any:
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    settings.graph_optimization_level = _LEVELS[options.graph_level]
    settings.enable_cpu_mem_arena = options.arena
    # Patterns are remembered for every shape that was ever seen, and clients choose the shapes.
    settings.enable_mem_pattern = False
    settings.log_severity_level = _SILENT
    spinning = "1" if options.spinning else "0"
    settings.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    settings.add_session_config_entry("session.inter_op.allow_spinning", spinning)
    if options.dynamic_block_base:
        settings.add_session_config_entry("session.dynamic_block_base", str(options.dynamic_block_base))
    return settings


def _decoded_text(name: str, array: Array) -> Array:
    """``bytes`` → text. Raises InvalidRequest, naming the element that is not UTF-8."""
    texts = np.empty(array.size, object)
    try:
        texts[:] = [element.decode() for element in array.ravel().tolist()]
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"input {name!r} must be UTF-8 text: {_bad_element(array)}") from error
    return texts.reshape(array.shape)


def _bad_element(array: Array) -> str:
    for index, element in np.ndenumerate(array):
        try:
            element.decode()
        except UnicodeDecodeError as error:
            return f"element {list(index)} is not, at byte {error.start}"
    return ""


def _encoded_text(array: Array) -> Array:
    """Text → ``bytes``."""
    encoded = np.empty(array.size, object)
    encoded[:] = [element.encode() for element in array.ravel().tolist()]
    return encoded.reshape(array.shape)


def _value_of_bf16(_name: str, array: Array) -> Any:
    return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(np.uint16), _BF16_ELEMENT_TYPE)


def _array_of(value: Any) -> Array:
    if value.element_type() != _BF16_ELEMENT_TYPE:
        return np.asarray(value.numpy())
    content = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    return np.frombuffer(content, NUMPY_DTYPES[DataType.BF16]).reshape(value.shape())


_ENCODERS: Final[Mapping[DataType, Callable[[str, Array], Any]]] = {
    DataType.BYTES: _decoded_text,
    DataType.BF16: _value_of_bf16,
}
"""Inputs that the runtime takes in another form than ours."""

_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_SOURCE = "/onnxruntime_src/"
_STATUS = re.compile(r"Status Message: (.*)", re.DOTALL)
_PRIVATE = re.compile(r"[/\\]\w|\w::\w")
"""Paths of files, names in the runtime's source."""
_UNKNOWN_CATEGORY = "Unknown Category and zeros = 0"
"""What its OneHotEncoder says of a value that it does not know; encoders of the converters fail so by purpose."""


def _reason(error: Exception) -> str:
    """The runtime's words, for operators."""
    text = _without_place(_PREFIX.sub("", str(error)))
    return _PREFIX.sub("", text).strip()[:400] or type(error).__name__


def _without_place(text: str) -> str:
    """``text`` without the file, line and C++ signature that the runtime puts before what it says."""
    before, found, after = text.partition(_SOURCE)
    if not found:
        return text
    said = _past_pair(after, "(", ")").removeprefix(" const").lstrip()
    if said.startswith("[with "):
        said = _past_pair(said, "[", "]").lstrip()
    return before + said if said.strip() else text


def _past_pair(text: str, opening: str, closing: str) -> str:
    """What follows the first ``opening`` and its ``closing``."""
    depth = 0
    for position, sign in enumerate(text):
        depth += (sign == opening) - (sign == closing)
        if not depth and sign == closing:
            return text[position + 1 :]
    return ""


def _safe_reason(error: Exception) -> str:
    """The runtime's words as far as a caller may see them."""
    text = _reason(error)
    status = _STATUS.search(text)
    text = (status[1] if status else text).strip().partition("\n")[0][:200]
    return "the log of the server says why" if not text or _PRIVATE.search(text) else text
