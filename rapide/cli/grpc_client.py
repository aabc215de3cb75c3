"""Asking a server for predictions by name over gRPC: PredictService."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from rapide.cli.grpc_columns import to_message, to_rows
from rapide.cli.prediction_clients import START_HINT, Answer, Question, Refused
from rapide.cli.rows import Given, Kinds
from rapide.proto import predict_pb2, services
from rapide.server.errors import RapideError, Unavailable


@dataclass(frozen=True, slots=True)
class GrpcClient:
    """``target`` is host and port."""

    target: str

    def kinds(self, _question: Question) -> Kinds:
        return {}  # the metadata message has no room for features

    def predict(self, question: Question, given: Given) -> Answer:
        request = predict_pb2.PredictRequest(
            model=question.model,
            version=question.version,
            label=question.label,
            user_key=question.user_key,
            request_id=question.request_id,
            columns=to_message(given),
        )
        with grpc.insecure_channel(self.target) as channel:
            try:
                response = services.stub(channel, services.PREDICT).Predict(request, timeout=question.timeout_s)
            except grpc.RpcError as error:
                raise self._failure(error.code().name, error.details() or "") from None
        return Answer(to_rows(response), response.model, response.version, response.label, response.request_id)

    def _failure(self, code: str, text: str) -> RapideError:
        if code == "UNAVAILABLE" and "failed to connect" in text.lower():
            return Unavailable(f"cannot reach grpc://{self.target}.", hint=START_HINT)
        return Refused(text or code)
