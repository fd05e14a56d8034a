"""The event loop that an agent needs, if it does not run on each."""

from ..errors import UsageError

__all__ = ["check_runtime", "required_runtime"]


def required_runtime(agent: object) -> str | None:
    """Return the name of the only event loop that an agent runs on, or `None` for both."""
    runtime = getattr(agent, "runtime", None)
    return runtime if isinstance(runtime, str) else None


def check_runtime(agent: object, runtime: str) -> None:
    """Raise `UsageError` if an agent does not run on the event loop `runtime`."""
    required = required_runtime(agent)
    if required not in (None, runtime):
        raise UsageError(
            f"the agent is one of the Agents SDK, which needs {required}: use --runtime {required},"
            f" or {required}.run"
        )
