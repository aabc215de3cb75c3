"""JSON text to values and back, with errors that say where the text is wrong."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from rapide.server.errors import InvalidRequest

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
"""What Python's parser takes alone, and nobody can write as UTF-8 again; in pairs they are characters."""
Body = bytes | bytearray | memoryview


def parse_object(text: Body) -> dict[str, Any]:
    """The JSON object in ``text`` (UTF-8). The tokens NaN, Infinity and -Infinity, which RFC 8259 lacks and which
    Python's and Triton's clients write, are read as floats.

    Raises InvalidRequest for anything else, also for nesting beyond the parser's 1,024 levels.
    """
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        document = _parse_leniently(bytes(text), str(error))
    if type(document) is not dict:
        raise InvalidRequest("the request body must be a JSON object")
    return document


def dump(value: Any) -> bytes:
    """``value`` as JSON; C-contiguous numeric numpy arrays become (nested) lists, NaN and ±infinity null."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def _parse_leniently(text: bytes, reason: str) -> Any:
    if b"NaN" in text or b"Infinity" in text:
        try:
            document = json.loads(text.decode("utf-8"))
            if _SURROGATE.search(text):
                json.dumps(document, ensure_ascii=False).encode("utf-8")
            return document
        except RecursionError:
            reason = "depth limit exceeded"
        except UnicodeEncodeError:
            reason = "a string has half of a surrogate pair"
        except ValueError:
            pass  # the first reason is the better one: it does not speak of Python
    if "depth" in reason or "recursion" in reason.lower():
        raise InvalidRequest("the request body is nested too deeply: JSON of at most 1024 levels is read")
    raise InvalidRequest(f"the request body is not valid JSON: {reason}")
