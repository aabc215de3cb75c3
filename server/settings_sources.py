"""Where settings come from: flags before environment before file before defaults.

A key that nobody knows is an error that names its source and the closest real names: a typo must not silently
leave a default in force.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rapide.server.errors import SettingsError
from rapide.server.settings import BY_NAME, SPECS, Settings, SettingSpec, Value, check_together

DEFAULT_FILE = "rapide.toml"
OTHER_VARIABLES = frozenset({"RAPIDE_CONFIG", "RAPIDE_DEBUG"})
"""Variables with our prefix that are no settings: where the file is, and tracebacks for developers."""

# Kubernetes describes every Service to every pod in variables named after the Service: one called "rapide" must
# not keep us from starting. https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE_LINK_NAME = re.compile(r"RAPIDE_(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT_\d+_(TCP|UDP|SCTP)(_.*)?)")
_SERVICE_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://")
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


def load(
    flags: Mapping[str, str], environment: Mapping[str, str], config: str | None = None, folder: Path = Path()
) -> Settings:
    """The settings in force.

    ``flags`` are name → text as typed; ``config`` is the file named on the command line. Without it,
    ``RAPIDE_CONFIG`` names the file, else ``rapide.toml`` in ``folder`` is read if it is there.
    Raises SettingsError naming the setting, where it came from and what to write instead.
    """
    values = from_file(_config_file(config, environment, folder))
    values |= from_environment(environment)
    values |= {name: parse_text(BY_NAME[name], text, BY_NAME[name].flag) for name, text in flags.items()}
    typed: dict[str, Any] = values
    settings = Settings(**typed)
    check_together(settings)
    return settings


def from_environment(environment: Mapping[str, str]) -> dict[str, Value]:
    """The settings that ``RAPIDE_`` variables give. Raises SettingsError for unknown and malformed ones."""
    by_variable = {spec.variable: spec for spec in SPECS}
    values: dict[str, Value] = {}
    for variable, text in sorted(environment.items()):
        if not variable.startswith("RAPIDE_") or variable in OTHER_VARIABLES or _is_service_link(variable, text):
            continue
        spec = by_variable.get(variable)
        if spec is None:
            # Compared without the prefix, which all of them share.
            hint = _closest(variable.removeprefix("RAPIDE_").lower(), lambda near: near.variable)
            raise SettingsError(f"environment: {variable} is not a setting.", hint=hint)
        values[spec.name] = parse_text(spec, text, variable)
    return values


def from_file(path: Path | None) -> dict[str, Value]:
    """The settings in the TOML file ``path``. Raises SettingsError."""
    if path is None:
        return {}
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"{path}: {error.strerror or error}.", hint="Check --config or RAPIDE_CONFIG."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not valid TOML: {error}.") from None
    values: dict[str, Value] = {}
    for name, raw in document.items():
        if name not in BY_NAME:
            raise SettingsError(f"{path}: {name!r} is not a setting.", hint=_closest(name, lambda near: near.name))
        values[name] = _from_toml(BY_NAME[name], raw, str(path))
    return values


def parse_text(spec: SettingSpec, text: str, source: str) -> Value:
    """``text`` as ``spec``'s type, checked. Raises SettingsError naming ``source``."""
    try:
        value: Value = _TEXT_PARSERS[spec.kind](text.strip())
    except ValueError:
        raise _malformed(spec, repr(text), source) from None
    spec.check(value, source)
    return value


def _parse_bool(text: str) -> bool:
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(text)
    return word in _TRUE


def _parse_names(text: str) -> tuple[str, ...]:
    return tuple(name for part in text.split(",") if (name := part.strip()))


_TEXT_PARSERS: dict[type, Any] = {bool: _parse_bool, int: int, float: float, str: str, tuple: _parse_names}
_TOML_TYPES: dict[type, tuple[type, ...]] = {
    bool: (bool,),
    int: (int,),
    float: (float, int),
    str: (str,),
    tuple: (list,),
}
_IN_WORDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple: "a list of names",
}


def _from_toml(spec: SettingSpec, raw: Any, source: str) -> Value:
    right = isinstance(raw, _TOML_TYPES[spec.kind]) and (spec.kind is bool or not isinstance(raw, bool))
    if not right or (isinstance(raw, list) and not all(isinstance(item, str) for item in raw)):
        raise _malformed(spec, repr(raw), source)
    value: Value = tuple(raw) if isinstance(raw, list) else spec.kind(raw)
    spec.check(value, source)
    return value


def _malformed(spec: SettingSpec, given: str, source: str) -> SettingsError:
    unit = f" of {spec.unit}" if spec.unit else ""
    bounds = f", {spec.bounds}" if spec.bounds else ""
    return SettingsError(f"{source}: {spec.name} is {given}; it must be {_IN_WORDS[spec.kind]}{unit}{bounds}.")


def _config_file(config: str | None, environment: Mapping[str, str], folder: Path) -> Path | None:
    named = config or environment.get("RAPIDE_CONFIG")
    if named:
        return Path(named)
    default = folder / DEFAULT_FILE
    return default if default.is_file() else None


def _is_service_link(variable: str, text: str) -> bool:
    linked_port = variable.endswith("_PORT") and _SERVICE_LINK_VALUE.match(text)
    return bool(linked_port or _SERVICE_LINK_NAME.fullmatch(variable))


def _closest(name: str, shown: Callable[[SettingSpec], str]) -> str:
    near = difflib.get_close_matches(name.replace("-", "_"), list(BY_NAME), n=3, cutoff=0.6)
    names = " or ".join(shown(BY_NAME[found]) for found in near)
    return f"Did you mean {names}?" if near else "docs/reference/settings.md lists all settings."
