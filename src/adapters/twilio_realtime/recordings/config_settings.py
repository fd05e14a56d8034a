"""Settings of a call's configuration as text: `interruption.after_speech_ms=300`.

The path leads through the fields of `CallConfig`; the value has the type of the last one.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, Final, Literal, NoReturn, TypeVar, Union, cast, get_args, get_origin

import attrs
from attrs import field, frozen

from twilio_realtime_core.errors import LocalProtocolError

from ..errors import UsageError

__all__ = ["ConfigSetting", "apply_settings", "parse_setting"]

T = TypeVar("T")

_NONE: Final = ("none", "null")
_BOOLEANS: Final = {"true": True, "false": False}
_UNITS: Final = {"_ms": " of milliseconds", "_ns": " of nanoseconds"}


@frozen
class ConfigSetting:
    """A field of a `CallConfig`, by its path, and the text of its value."""

    path: tuple[str, ...]
    value: str = field(repr=False)

    @property
    def name(self) -> str:
        """The path as text."""
        return ".".join(self.path)


def parse_setting(text: str) -> ConfigSetting:
    """Parse `FIELD=VALUE`. Raises `UsageError`."""
    name, equals, value = text.partition("=")
    path = tuple(part.strip() for part in name.split("."))
    if not equals or not all(map(str.isidentifier, path)):
        raise UsageError("a setting is FIELD=VALUE, such as interruption.after_speech_ms=300")
    return ConfigSetting(path, value.strip())


def apply_settings(config: T, settings: Iterable[ConfigSetting]) -> T:
    """Return a configuration with these fields changed; of two values of a field the later counts.
    It is a `CallConfig`, or a value with some of its fields.

    Raises `UsageError` for a field that does not exist, and for a value that is of the wrong type
    or out of range. The message names the field and its type, and does not contain a text.
    """
    return cast(T, _evolve(config, _as_tree(settings), ()))


_Tree = dict[str, Any]
"""Texts of values, and trees of those of the fields of a field, by the names of fields."""


def _as_tree(settings: Iterable[ConfigSetting]) -> _Tree:
    tree: _Tree = {}
    for setting in settings:
        *parents, last = setting.path
        branch = tree
        for name in parents:
            branch = _as_branch(branch.setdefault(name, {}), setting)
        if isinstance(branch.get(last), dict):
            _as_branch("", setting)
        branch[last] = setting.value
    return tree


def _as_branch(node: Any, setting: ConfigSetting) -> _Tree:
    if not isinstance(node, dict):
        raise UsageError(f"{setting.name} is set as a whole and in part: choose one")
    return cast("_Tree", node)


def _evolve(value: Any, tree: _Tree, path: tuple[str, ...]) -> Any:
    changes = _parse_fields(value.__class__, tree, path, lambda name: getattr(value, name))
    return _checked(path, lambda: attrs.evolve(value, **changes))


def _create(kinds: Sequence[type[Any]], tree: _Tree, path: tuple[str, ...]) -> Any:
    """Create the value of a field that has none: of the first of its classes that fits."""
    fitting = [kind for kind in kinds if _has_fields(kind, tree)]
    kind = next(iter(fitting or kinds))
    changes = _parse_fields(kind, tree, path, lambda _: None)
    missing = [
        each.name
        for each in attrs.fields(kind)
        if each.default is attrs.NOTHING and each.name not in changes
    ]
    if missing:
        raise UsageError(f"{'.'.join(path)} has no value yet: set {', '.join(missing)} as well")
    return _checked(path, lambda: kind(**changes))


def _checked(path: tuple[str, ...], make: Callable[[], Any]) -> Any:
    try:
        return make()
    except LocalProtocolError as error:  # it names the class, the field, the type and the unit
        raise UsageError(f"{'.'.join(path)}: {error}" if path else str(error)) from None
    except (AttributeError, TypeError, ValueError):  # JSON that a converter cannot take
        raise UsageError(f"{'.'.join(path)}: a value is not of its type") from None


def _parse_fields(
    kind: type[Any], tree: _Tree, path: tuple[str, ...], current: Callable[[str], Any]
) -> dict[str, Any]:
    known = attrs.fields_dict(kind)
    changes: dict[str, Any] = {}
    for name, text in tree.items():
        if name not in known:
            _refuse_unknown(kind, name, path)
        types = _alternatives(known[name].type)
        kinds = [each for each in types if isinstance(each, type) and attrs.has(each)]
        where = (*path, name)
        if isinstance(text, str):
            changes[name] = _parse_value(text, types, where)
        elif attrs.has(current(name).__class__) and not _is_of_another(current(name), kinds, text):
            changes[name] = _evolve(current(name), text, where)
        elif kinds:
            changes[name] = _create(kinds, text, where)
        else:
            raise UsageError(f"{'.'.join(where)} has no fields: set it as a whole")
    return changes


def _is_of_another(value: Any, kinds: Sequence[type[Any]], tree: _Tree) -> bool:
    """Whether a field whose value has not all of these fields can have another one that has."""
    return not _has_fields(value.__class__, tree) and any(_has_fields(kind, tree) for kind in kinds)


def _has_fields(kind: type[Any], tree: _Tree) -> bool:
    return tree.keys() <= attrs.fields_dict(kind).keys()


def _refuse_unknown(kind: type[Any], name: str, path: tuple[str, ...]) -> NoReturn:
    known = sorted(attrs.fields_dict(kind))
    close = get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]}?" if close else f"its fields are {', '.join(known)}"
    place = f"{'.'.join(path)} ({kind.__name__})" if path else kind.__name__
    raise UsageError(f"{place} has no field {name}: {hint}")


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """The types that a field can have."""
    if get_origin(annotation) in (Union, UnionType):
        return tuple(each for part in get_args(annotation) for each in _alternatives(part))
    return (annotation,)


def _parse_value(text: str, types: tuple[Any, ...], path: tuple[str, ...]) -> Any:
    if NoneType in types and text.lower() in _NONE:
        return None
    for kind in types:
        parse = _parser_of(kind)
        if parse is not None:
            try:
                return parse(text)
            except (ValueError, RecursionError):
                continue
    name = ".".join(path)
    described = [each for each in (_describe(kind, path[-1]) for kind in types) if each]
    if not described:
        raise UsageError(f"{name} cannot be set as text: it is audio, a function, or a set")
    raise UsageError(f"{name} must be {' or '.join(dict.fromkeys(described))}")


def _parser_of(kind: Any) -> Callable[[str], Any] | None:
    """Return what parses a value of a type, and raises `ValueError` for another text."""
    if get_origin(kind) is Literal:
        return lambda text: get_args(kind)[get_args(kind).index(text)]
    if kind is bool:
        return lambda text: _BOOLEANS[text.lower()] if text.lower() in _BOOLEANS else _fail()
    if kind is float:
        return _finite
    if kind is int or kind is str:
        return cast("Callable[[str], Any]", kind)
    if get_origin(kind) in (Mapping, dict) or kind is Mapping:
        return lambda text: _parse_json(text, dict)
    if get_origin(kind) is tuple:
        return lambda text: tuple(_parse_json(text, list))
    if get_origin(kind) in (Sequence, list):
        return lambda text: _parse_json(text, list)
    tag = getattr(kind, "type", None)
    if isinstance(kind, type) and attrs.has(kind) and tag is not None:
        return lambda text: kind() if text == tag else _fail()
    return None


def _describe(kind: Any, name: str) -> str:
    """Describe a type, with the unit of a field of this name; empty if no text can have it."""
    unit = next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), "")
    described = {bool: "true or false", float: "a number", str: "text", NoneType: "none"}
    if kind is int:
        return f"a whole number{unit} (int)"
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, get_args(kind)))
    if get_origin(kind) in (Mapping, dict) or kind is Mapping:
        return "an object in JSON"
    if get_origin(kind) in (Sequence, tuple, list):
        return "a list in JSON"
    if isinstance(kind, type) and attrs.has(kind):
        tag = getattr(kind, "type", None)
        return f"set by its fields ({name}.FIELD=VALUE)" if tag is None else str(tag)
    return described.get(kind, "")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _fail()


def _parse_json(text: str, kind: type[Any]) -> Any:
    value = json.loads(text)
    return value if isinstance(value, kind) else _fail()


def _fail() -> NoReturn:
    raise ValueError
