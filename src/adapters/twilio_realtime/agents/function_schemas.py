"""What a Python function takes, as the JSON schema that the model is told, and as the check of what
the model then gives."""

import inspect
from collections.abc import Callable
from typing import Any, Self, get_type_hints

import msgspec
from attrs import field, frozen

from twilio_realtime_core import LocalProtocolError

from .call import Call

__all__ = ["Signature"]

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@frozen(eq=False)
class Signature:
    """The parameters of a function.

    `schema` is the JSON schema of an object of them. `takes_call` names those that are annotated
    `Call`: they are no business of the model's.
    """

    schema: dict[str, Any]
    takes_call: tuple[str, ...]
    _decoder: msgspec.json.Decoder[Any] = field(repr=False)

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Self:
        """That of `function`. Annotations are those that msgspec knows; `Annotated[..., Meta(...)]`
        adds descriptions and bounds.

        Raises `LocalProtocolError` for what is no function or method, and for a parameter that has
        no annotation, or one of which there is no schema, or that cannot be given by name.
        """
        inner = inspect.unwrap(function)
        if not (inspect.isfunction(inner) or inspect.ismethod(inner)):
            kind = type(inner).__name__
            raise LocalProtocolError(
                f"a {kind} is no function that can be told to the model: write a def around it"
            )
        name = function.__name__
        try:
            hints = get_type_hints(function, include_extras=True)
        except Exception as error:  # an annotation that is text is run as code
            raise LocalProtocolError(
                f"{name}: {error}; annotate with names of its module"
            ) from None
        parameters = inspect.signature(function).parameters.values()
        for each in parameters:
            if each.kind not in _BY_NAME or each.name not in hints:
                raise LocalProtocolError(
                    f"{name}: {each.name} must be a parameter with a name and an annotation"
                )
        given = [each for each in parameters if hints[each.name] is not Call]
        try:
            arguments = msgspec.defstruct(
                "arguments",
                [_field(each, hints[each.name]) for each in given],
                forbid_unknown_fields=True,
                kw_only=True,
            )
            schema = _schema(arguments)
            decoder = msgspec.json.Decoder(arguments)
        except (TypeError, ValueError) as error:
            raise LocalProtocolError(f"{name}: there is no JSON schema: {error}") from None
        takes_call = tuple(each.name for each in parameters if hints[each.name] is Call)
        return cls(schema, takes_call, decoder)

    def arguments(self, text: str, call: Call) -> dict[str, Any]:
        """What to call the function with, from the JSON that the model wrote.

        Raises `ValueError` or `RecursionError` for what does not match the schema.
        """
        # For a function without parameters, some models write nothing.
        given: dict[str, Any] = msgspec.structs.asdict(self._decoder.decode(text or "{}"))
        return {**given, **dict.fromkeys(self.takes_call, call)}


def _field(parameter: inspect.Parameter, kind: Any) -> tuple[str, Any] | tuple[str, Any, Any]:
    if parameter.default is inspect.Parameter.empty:
        return parameter.name, kind
    return parameter.name, kind, parameter.default


def _schema(arguments: type[msgspec.Struct]) -> dict[str, Any]:
    """An object at the top, as the API wants it, and not a reference to one."""
    (reference,), components = msgspec.json.schema_components(
        [arguments], ref_template="#/$defs/{name}"
    )
    schema: dict[str, Any] = components.pop(reference["$ref"].rpartition("/")[2])
    del schema["title"]
    return schema | {"$defs": components} if components else schema
