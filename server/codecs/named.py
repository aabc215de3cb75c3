"""Features and predictions by name, in the domain's terms: what a manifest makes of a call and of an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rapide.server.codecs.columns import Form, PredictAnswer, PredictCall, PredictCodec, ReadAnswer
from rapide.server.codecs.describe import closest, described, shown, some
from rapide.server.codecs.feature_values import InputPlan
from rapide.server.codecs.predictions import prediction_column
from rapide.server.codecs.tensor_columns import TensorCodec, is_object, read_tensors
from rapide.server.errors import BrokenVersion, InvalidRequest
from rapide.server.repository.manifest import Feature, Prediction
from rapide.server.signature import Signature
from rapide.server.tensors import InferRequest, InferResponse


def predict_codec(
    signature: Signature, features: Sequence[Feature] = (), predictions: Sequence[Prediction] = ()
) -> PredictCodec:
    """The codec for one version: by the manifest's names, or by those of the tensors where it has none.

    Raises BrokenVersion when features or predictions contradict the signature.
    """
    if not features:
        return TensorCodec(signature)
    by_input: dict[str, list[Feature]] = {spec.name: [] for spec in signature.inputs}
    for feature in features:
        if feature.input not in by_input:
            raise BrokenVersion(f"the manifest puts feature {shown(feature.name)} into an input that is not there")
        by_input[feature.input].append(feature)
    outputs = {spec.name for spec in signature.outputs}
    for prediction in predictions:
        if prediction.output not in outputs:
            raise BrokenVersion(f"the manifest reads {shown(prediction.name)} from an output that is not there")
    return FeatureCodec(
        features={feature.name: feature for feature in features},
        plans=tuple(InputPlan.made(spec, by_input[spec.name]) for spec in signature.inputs),
        predictions=tuple(predictions),
        tensors=TensorCodec(signature),
    )


@dataclass(frozen=True, slots=True)
class FeatureCodec:
    """The PredictCodec of a model whose manifest names its features.

    A call that speaks of the input tensors instead (bare rows, or the inputs' names) is read as tensors, so that
    clients of TensorFlow Serving need no change.
    """

    features: Mapping[str, Feature]
    plans: tuple[InputPlan, ...]
    predictions: tuple[Prediction, ...]
    tensors: TensorCodec

    def request(self, call: PredictCall) -> tuple[InferRequest, ReadAnswer]:
        if self._is_about_tensors(call):
            return self.tensors.request(call)
        columns, rows = self._rows(call.value) if call.form is Form.ROWS else self._columns(call.value)
        inputs = [plan.tensor(columns, rows) for plan in self.plans]
        return InferRequest(model_name="", inputs=inputs), self._answer

    def _answer(self, response: InferResponse) -> PredictAnswer:
        if not self.predictions:
            return PredictAnswer(read_tensors(response).columns, named=True)
        outputs = {output.name: output for output in response.outputs}
        columns = {prediction.name: prediction_column(prediction, outputs) for prediction in self.predictions}
        return PredictAnswer(columns, named=True)

    def _is_about_tensors(self, call: PredictCall) -> bool:
        sample = call.value
        if call.form is Form.ROWS and type(sample) is list:
            if not sample:
                return False
            sample = sample[0]
        if not is_object(sample):
            return True
        inputs = {spec.name for spec in self.tensors.signature.inputs}
        if not sample or not inputs.issuperset(sample):
            return False
        # A feature often has an input of its own name; but its values are never lists, as those of a tensor are.
        return not self.features.keys() >= sample.keys() or _holds_lists(sample, call.form)

    def _rows(self, instances: Any) -> tuple[Mapping[str, Sequence[Any]], int]:
        given: dict[str, None] = {}
        for row, instance in enumerate(instances):
            if not is_object(instance):
                raise InvalidRequest(f"row {row} must be an object of named features, got {described(instance)}")
            given.update(dict.fromkeys(instance))
        self._check_names(given, bool(instances))
        return {name: [instance.get(name) for instance in instances] for name in given}, len(instances)

    def _columns(self, inputs: Mapping[str, Any]) -> tuple[Mapping[str, Sequence[Any]], int]:
        self._check_names(inputs, required=True)
        if inputs and all(type(values) is not list for values in inputs.values()):
            inputs = {name: [value] for name, value in inputs.items()}  # one row, given as plain values
        first = next(iter(inputs), "")
        rows = len(inputs[first]) if type(inputs.get(first)) is list else 0
        for name, values in inputs.items():
            if type(values) is not list:
                raise InvalidRequest(f"{name}: expected a list with a value for each row, got {described(values)}")
            if len(values) != rows:
                raise InvalidRequest(
                    f"{name} has {len(values)} rows but {first} has {rows}; all features must have the same number"
                )
        return inputs, rows

    def _check_names(self, given: Mapping[str, Any], required: bool) -> None:
        unknown = [name for name in given if name not in self.features]
        if unknown:
            hint = closest(unknown[0], self.features) or f"; the model takes {some(self.features)}"
            plural = "are no features" if len(unknown) > 1 else "is no feature"
            raise InvalidRequest(f"there {plural} {some(unknown)}{hint}")
        missing = [name for name, feature in self.features.items() if feature.required and name not in given]
        if missing and required:
            raise InvalidRequest(f"missing the required feature{'s' * (len(missing) > 1)} {some(missing)}")


def _holds_lists(sample: Mapping[str, Any], form: Form) -> bool:
    values = list(sample.values())
    if form is Form.COLUMNS:
        values = [column[0] for column in values if type(column) is list and column]
    return any(type(value) is list for value in values)
