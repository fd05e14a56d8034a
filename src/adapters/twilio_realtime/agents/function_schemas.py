"""The parameters of Python functions as JSON schemas, and the check of arguments against them."""

import inspect
from collections.abc import Callable
from typing import Any, Self, get_type_hints

import msgspec
from attrs import field, frozen

from twilio_realtime_core import LocalProtocolError

from .call import Call

__all__ = ["FunctionSchema"]

_NAMED_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@frozen(eq=False)
class FunctionSchema:
    """The parameters of a function.

    `parameters` is the JSON schema of an object of them, as the model gets it. `call_parameters`
    names those that are annotated `Call`, which are not part of the schema.
    """

    parameters: dict[str, Any]
    call_parameters: tuple[str, ...]
    _decoder: msgspec.json.Decoder[Any] = field(repr=False)

    @classmethod
    def from_function(cls, function: Callable[..., Any]) -> Self:
        """Make the schema of `function` from its annotations, which can be all that msgspec
        supports; `Annotated[..., Meta(...)]` adds descriptions and bounds.

        Raises `LocalProtocolError` if `function` is no function or method, and for a parameter
        without an annotation, with an annotation that has no JSON schema, or that cannot be passed
        by name.
        """
        inner = inspect.unwrap(function)
        if not (inspect.isfunction(inner) or inspect.ismethod(inner)):
            kind = type(inner).__name__
            raise LocalProtocolError(
                f"a {kind} is no function that the model can call: write a def around it"
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
            if each.kind not in _NAMED_KINDS or each.name not in hints:
                raise LocalProtocolError(
                    f"{name}: {each.name} must be a parameter with a name and an annotation"
                )
        model_parameters = [each for each in parameters if hints[each.name] is not Call]
        try:
            arguments = msgspec.defstruct(
                "arguments",
                [_struct_field(each, hints[each.name]) for each in model_parameters],
                forbid_unknown_fields=True,
                kw_only=True,
            )
            schema = _object_schema(arguments)
            decoder = msgspec.json.Decoder(arguments)
        except (TypeError, ValueError) as error:
            raise LocalProtocolError(f"{name}: there is no JSON schema: {error}") from None
        call_parameters = tuple(each.name for each in parameters if hints[each.name] is Call)
        return cls(schema, call_parameters, decoder)

    def decode_arguments(self, text: str, call: Call) -> dict[str, Any]:
        """Return the function's keyword arguments: those in `text`, the JSON of the model, and
        `call` for each of `call_parameters`.

        Raises `ValueError` or `RecursionError` if `text` does not match the schema.
        """
        # For a function without parameters, some models write nothing.
        arguments: dict[str, Any] = msgspec.structs.asdict(self._decoder.decode(text or "{}"))
        return {**arguments, **dict.fromkeys(self.call_parameters, call)}


def _struct_field(
    parameter: inspect.Parameter, annotation: Any
) -> tuple[str, Any] | tuple[str, Any, Any]:
    if parameter.default is inspect.Parameter.empty:
        return parameter.name, annotation
    return parameter.name, annotation, parameter.default


def _object_schema(arguments: type[msgspec.Struct]) -> dict[str, Any]:
    """Return a schema whose top level is the object itself, as the API requires, instead of a
    reference to it."""
    (reference,), components = msgspec.json.schema_components(
        [arguments], ref_template="#/$defs/{name}"
    )
    schema: dict[str, Any] = components.pop(reference["$ref"].rpartition("/")[2])
    del schema["title"]
    return schema | {"$defs": components} if components else schema
