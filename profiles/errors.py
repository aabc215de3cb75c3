"""What can be wrong with a profile, said so that it can be mended."""

from __future__ import annotations

from rapide.server.errors import RapideError


class ProfileError(RapideError):
    """A usage profile cannot be read, or does not hold what is asked of it."""

    @classmethod
    def unexpected(cls, source: str, where: str, expected: str, got: str, *, hint: str = "") -> ProfileError:
        """``source``: the file or URL; ``where``: the place in it, ``models[0].rows`` for example."""
        place = f"{source}: {where}" if where else source
        return cls(f"{place}: expected {expected}, got {got}", hint=hint)
