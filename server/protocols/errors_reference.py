"""docs/reference/errors.md, made from the status table: ``python -m rapide.server.protocols.errors_reference``."""

from __future__ import annotations

from typing import Final

from rapide.server import errors
from rapide.server.errors import RapideError
from rapide.server.protocols.status import TABLE

_GRPC_NAMES: Final = {
    1: "CANCELLED",
    3: "INVALID_ARGUMENT",
    4: "DEADLINE_EXCEEDED",
    5: "NOT_FOUND",
    8: "RESOURCE_EXHAUSTED",
    9: "FAILED_PRECONDITION",
    12: "UNIMPLEMENTED",
    13: "INTERNAL",
    14: "UNAVAILABLE",
}
_ADVICE: Final[dict[type[RapideError], str]] = {
    errors.InvalidRequest: "Mend the request; sending it again cannot help. The text names the input, what was "
    "expected and what came.",
    errors.SettingsError: "Mend the setting that the text names.",
    errors.NotFound: "Ask for one of the names in the text, or see `POST /v2/repository/index`.",
    errors.Conflict: "See what is there first; for load and unload, start the server with `--control explicit`.",
    errors.BrokenVersion: "Publish a version that passes; the text says what failed. What was served still is.",
    errors.TooLarge: "Send it in parts, or raise the limit in the settings.",
    errors.UnsupportedMedia: "Use a coding or content type from the text.",
    errors.QueueFull: "Wait as long as `Retry-After` (gRPC: `grpc-retry-pushback-ms`) says, then ask again; if it "
    "lasts, add workers or replicas.",
    errors.RequestCancelled: "Nothing: the caller went away. Seen in metrics and logs only.",
    errors.Internal: "Look into the server's log under the request id that the text names.",
    errors.RepositoryError: "See whether the repository can be read; what is loaded is served meanwhile.",
    errors.Unimplemented: "Use something else; `GET /v2` lists the extensions that work.",
    errors.Unavailable: "Ask again, or another replica: the model is loading, or the server is going down.",
    errors.DeadlineExceeded: "Allow more time, or send less load: the text says how long the request waited.",
}

_INTRODUCTION: Final = """\
<!-- Made by `python -m rapide.server.protocols.errors_reference`; edit that, or server/protocols/status.py. -->

# Errors

Both protocols tell the same errors in the same words: HTTP as `{"error": "…"}`, gRPC as the status message. The
name is what metrics (`code`) and logs call it. No text says anything private: paths, stack traces and what other
callers sent stay in the server's log, under the request id that every answer carries (`x-request-id`).

| name | HTTP | gRPC | when | what to do |
|---|---|---|---|---|
"""


def render() -> str:
    """The page, in Markdown."""
    rows = [
        f"| `{status.name}` | {status.http} | {_GRPC_NAMES[status.grpc]} | {_when(kind)} | {_ADVICE[kind]} |\n"
        for kind, status in TABLE.items()
        if kind is not RapideError
    ]
    return _INTRODUCTION + "".join(rows)


def _when(kind: type[RapideError]) -> str:
    """The first paragraph of the class's docstring, on one line."""
    text = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
    return text.replace("``", "`").replace("|", "∣")


if __name__ == "__main__":
    print(render(), end="")
