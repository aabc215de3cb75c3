"""Server reflection (v1 and v1alpha): how grpcurl and other generic clients learn what can be called.

Both versions have the same messages under two package names, so one set of functions answers both; the answer's
class comes from the question's own module.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from types import ModuleType
from typing import Any, Final

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import Message

from rapide.proto import reflection_v1_pb2, reflection_v1alpha_pb2, services
from rapide.proto.pool import POOL
from rapide.server.context import CallContext
from rapide.server.errors import InvalidRequest, NotFound, RapideError
from rapide.server.protocols.grpc_call import BothStream, parse
from rapide.server.protocols.status import status_of, text_of
from rapide.server.service import InferenceService

SERVICES: Final = (
    services.OPEN_INFERENCE,
    services.PREDICT,
    services.HEALTH,
    services.REFLECTION_V1,
    services.REFLECTION_V1ALPHA,
)
"""Every service that the server offers, by full name."""


def _answer_with(messages: ModuleType) -> BothStream:
    request_class: type[Message] = messages.ServerReflectionRequest
    response_class: type[Message] = messages.ServerReflectionResponse

    async def reflect(
        _service: InferenceService, _context: CallContext, questions: AsyncIterator[bytes]
    ) -> AsyncIterator[Message]:
        async for raw in questions:
            question = parse(request_class, raw)
            answer: Any = response_class()
            answer.valid_host = question.host
            answer.original_request.CopyFrom(question)
            _fill(answer, question)
            yield answer

    return reflect


reflect_v1: Final = _answer_with(reflection_v1_pb2)
reflect_v1alpha: Final = _answer_with(reflection_v1alpha_pb2)


def _fill(answer: Any, question: Any) -> None:
    """Answers one question in place; what cannot be found is an answer, too."""
    kind = question.WhichOneof("message_request")
    try:
        if kind is None:
            raise InvalidRequest("the reflection request asks nothing")
        _ANSWERS[kind](answer, getattr(question, kind))
    except RapideError as error:
        answer.error_response.error_code = status_of(error).grpc
        answer.error_response.error_message = text_of(error)


def _list_services(answer: Any, _pattern: str) -> None:
    for name in SERVICES:
        answer.list_services_response.service.add(name=name)


def _file_by_name(answer: Any, name: str) -> None:
    _add_files(answer, _found(POOL.FindFileByName, name))


def _file_of_symbol(answer: Any, symbol: str) -> None:
    _add_files(answer, _found(POOL.FindFileContainingSymbol, symbol))


def _file_of_extension(_answer: Any, wanted: Any) -> None:
    raise NotFound(f"message {wanted.containing_type[:128]!r} has no extensions")


def _extension_numbers(answer: Any, name: str) -> None:
    answer.all_extension_numbers_response.base_type_name = _found(POOL.FindMessageTypeByName, name).full_name


_ANSWERS: Final[dict[str, Callable[[Any, Any], None]]] = {
    "list_services": _list_services,
    "file_by_filename": _file_by_name,
    "file_containing_symbol": _file_of_symbol,
    "file_containing_extension": _file_of_extension,
    "all_extension_numbers_of_type": _extension_numbers,
}


def _found(find: Callable[[str], Any], name: str) -> Any:
    try:
        return find(name)
    except KeyError:
        raise NotFound(f"{name[:128]!r} is not known here") from None


def _add_files(answer: Any, file: FileDescriptor) -> None:
    """``file`` and all that it imports, so that a client needs to ask once."""
    seen: set[str] = set()
    waiting = [file]
    while waiting:
        current = waiting.pop()
        if current.name not in seen:
            seen.add(current.name)
            answer.file_descriptor_response.file_descriptor_proto.append(current.serialized_pb)
            waiting += current.dependencies
