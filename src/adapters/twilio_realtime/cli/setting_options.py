"""The settings of a service as options of a command."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..server.settings import SETTINGS, Setting

__all__ = ["setting_options"]

F = TypeVar("F", bound=Callable[..., Any])


def setting_options(command: F) -> F:
    """Add an option for each setting, except for that of the agent, which is an argument.

    An option that is not given has the value `None`: its default is that of the setting, unless the
    environment or a file sets it.
    """
    for setting in reversed(SETTINGS.values()):
        if setting.name != "agent":
            command = _make_option(setting)(command)
    return command


def _make_option(setting: Setting) -> Callable[[F], F]:
    default = setting.default
    shown = None if setting.is_flag or default in (None, ()) else _show(setting)
    if setting.is_flag:
        return click.option(f"--{setting.name}", is_flag=True, default=None, help=setting.help)
    return click.option(
        f"--{setting.name}",
        setting.key,
        metavar=setting.metavar,
        type=_option_type(setting),
        multiple=setting.is_list,
        default=None,
        help=setting.help if shown is None else f"{setting.help}  [default: {shown}]",
    )


def _option_type(setting: Setting) -> Any:
    if setting.choices:
        return click.Choice(setting.choices)
    return str if setting.bounds is None else click.IntRange(*setting.bounds)


def _show(setting: Setting) -> str:
    value = setting.default
    if not setting.is_duration:
        return str(value)
    return f"{value}ms" if value % 1000 else f"{value // 1000}s"
