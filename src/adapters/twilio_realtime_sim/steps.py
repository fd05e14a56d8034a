"""What happens in a world: one call of a machine after another."""

from attrs import frozen

__all__ = ["Step"]

_SHOWN = 100
"""Characters of a value in the text of a step."""


@frozen
class Step:
    """One call of a machine: when (ns), which, its method, what it was told, what it asked for."""

    when: int
    machine: str
    method: str
    arguments: tuple[object, ...]
    outputs: tuple[object, ...]

    def __str__(self) -> str:
        told = ", ".join(map(_show, self.arguments))
        lines = [f"{self.when / 1e6:12.3f} ms  {self.machine}.{self.method}({told})"]
        return "\n".join([*lines, *(f"{'':18}-> {_show(output)}" for output in self.outputs)])


def _show(value: object) -> str:
    text = f"<{len(value)} bytes>" if isinstance(value, bytes) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
