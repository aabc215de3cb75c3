"""What the installed ONNX Runtime can do."""

from __future__ import annotations

import rapide.server.model.session  # noqa: F401 - switches the runtime's telemetry off before it is imported

# isort: split
import onnxruntime as ort


def providers() -> list[str]:
    """The execution providers that it was built with, by preference. Models are run on the CPU one."""
    return list(ort.get_available_providers())
