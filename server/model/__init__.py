"""Models in this process: loaded, checked, proved and warm (``loading.py`` says what that means)."""

from rapide.server.model.loading import Model, load_model
from rapide.server.model.session import SessionOptions

__all__ = ["Model", "SessionOptions", "load_model"]
