"""The settings of a service: by flag, environment, file or default, in this order.

    settings = load_settings({"port": 5060}, os.environ, folder=Path.cwd())
    settings["port"], settings.sources["port"]    # 5060, "--port"

A setting `public-url` is the flag `--public-url`, the variable `TWILIO_REALTIME_PUBLIC_URL`, and
the key `public-url` in `twilio-realtime.toml` or in `[tool.twilio-realtime]` of `pyproject.toml`.
Secrets come from the environment alone, or from a file that a variable names.
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from attrs import frozen

from twilio_realtime_core.protocols import realtime

from ..errors import UsageError
from .admission import CallLimits
from .durations import parse_duration_ms
from .environment import (
    API_KEY_VARIABLE,
    AUTH_TOKEN_VARIABLE,
    AZURE_KEY_VARIABLE,
    AZURE_TOKEN_VARIABLE,
    REALTIME_URL_VARIABLE,
)
from .stream_tokens import TOKEN_LIFETIME_MS
from .supervisor import DRAIN_TIMEOUT_MS
from .text_files import read_text_file

__all__ = [
    "CONFIG_FILE",
    "ENVIRONMENT_PREFIX",
    "SECRETS",
    "SETTINGS",
    "LoadedSettings",
    "Setting",
    "load_settings",
    "parse_headers",
    "read_env_file",
]

ENVIRONMENT_PREFIX: Final = "TWILIO_REALTIME_"
"""The beginning of the names of environment variables."""
CONFIG_FILE: Final = "twilio-realtime.toml"
"""The file of settings; in `pyproject.toml` they stand in `[tool.twilio-realtime]`."""

_TOOL: Final = "twilio-realtime"
_TRUE: Final = ("1", "true", "yes", "on")
_FALSE: Final = ("0", "false", "no", "off", "")
_ENV_LINE: Final = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")
_QUOTED: Final = re.compile(
    r"""(?P<quote>['"])(?P<value>.*?)(?:(?P=quote)|(?<!\\)(?P=quote)\s*\#.*)"""
)
"""A value in quotes, with or without a comment. A quote after a backslash ends none before one."""
_REFERENCE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$([A-Za-z_][A-Za-z0-9_]*)")
_HEADER: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*)")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("it is not text")
    return value


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word not in (*_TRUE, *_FALSE):
        raise ValueError("use true or false")
    return word in _TRUE


def _integer(minimum: int, maximum: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        if isinstance(value, bool) or not re.fullmatch(r"\s*[0-9]{1,10}\s*", str(value)):
            raise ValueError(f"use a number from {minimum} to {maximum}")
        number = int(str(value))
        if not minimum <= number <= maximum:
            raise ValueError(f"use a number from {minimum} to {maximum}")
        return number

    return parse


def _choice(*choices: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in choices:
            raise ValueError(f"use {' or '.join(choices)}")
        return str(value)

    return parse


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(each.strip() for each in value.splitlines() if each.strip())
    items = cast("list[object]", value) if isinstance(value, list | tuple) else [value]
    if not all(isinstance(each, str) for each in items):
        raise ValueError("use a list of texts")
    return tuple(map(str, items))


@frozen
class Setting:
    """A setting by its name, which is that of its flag without the dashes."""

    name: str
    help: str
    """What it means, for `--help` and the documentation."""
    default: Any = None
    parse: Callable[[object], Any] = _text
    """Returns the value of what was written. Raises `ValueError`, with what to do."""
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    bounds: tuple[int, int] | None = None
    """Of a number, the lowest and the highest."""
    is_list: bool = False
    is_hidden: bool = False
    """Its value may hold a secret, so it is not shown."""
    variables: tuple[str, ...] = ()
    """Further environment variables, after that of the name."""

    @property
    def key(self) -> str:
        """The name as an identifier."""
        return self.name.replace("-", "_")

    @property
    def is_flag(self) -> bool:
        """Whether it is on or off."""
        return self.parse is _flag

    @property
    def is_duration(self) -> bool:
        """Whether it is a duration, whose value is in milliseconds."""
        return self.parse is parse_duration_ms

    @property
    def all_variables(self) -> tuple[str, ...]:
        """The environment variables, by precedence."""
        return (f"{ENVIRONMENT_PREFIX}{self.key.upper()}", *self.variables)


def _of_choices(name: str, help_text: str, default: str, *choices: str) -> Setting:
    return Setting(name, help_text, default, _choice(*choices), choices=choices)


def _on_or_off(name: str, help_text: str) -> Setting:
    return Setting(name, help_text, default=False, parse=_flag)


def _of_number(name: str, help_text: str, default: int, minimum: int, maximum: int) -> Setting:
    bounds = (minimum, maximum)
    return Setting(name, help_text, default, _integer(*bounds), metavar="N", bounds=bounds)


def _of_limit(name: str, help_text: str) -> Setting:
    """A limit that there is not by default."""
    bounds = (1, 1_000_000_000)
    return Setting(name, help_text, None, _integer(*bounds), metavar="N", bounds=bounds)


SETTINGS: Final = {
    each.name: each
    for each in (
        Setting("agent", "The agent, as MODULE:NAME.", metavar="MODULE:NAME"),
        _on_or_off("factory", "The name is that of a function that makes the agent."),
        Setting("instructions", "The model's instructions.", metavar="TEXT", is_hidden=True),
        Setting("voice", "The model's voice, such as marin or cedar.", metavar="NAME"),
        Setting(
            "greeting",
            "An instruction for the first response, such as 'Greet the caller.'",
            metavar="TEXT",
            is_hidden=True,
        ),
        Setting("model", "The model; with Azure, the deployment.", metavar="NAME"),
        Setting("host", 'The address to listen on; "" for all addresses.', "127.0.0.1"),
        Setting(
            "port",
            "The port to listen on; 0 for a free one, which is printed.",
            5050,
            _integer(0, 65535),
            bounds=(0, 65535),
            variables=("PORT",),
        ),
        Setting(
            "public-url",
            "The URL at which Twilio reaches this server: https://... With an auth token it is"
            " taken from signed requests.",
            metavar="URL",
            is_hidden=True,
        ),
        _on_or_off("trust-proxy", "Without --public-url: trust the forwarded headers."),
        _on_or_off("insecure", "Accept unsigned requests from any host (unsafe)."),
        _on_or_off(
            "static-twiml",
            "Accept streams without a one-time token, for TwiML that is stored at Twilio.",
        ),
        _on_or_off("stream-status", "Have Twilio report errors of streams, for the log."),
        _on_or_off(
            "ask-after-stream",
            "Have Twilio ask what follows a stream, so that agents can transfer calls without its"
            " REST API.",
        ),
        Setting(
            "twilio-api-url",
            "The URL of Twilio's REST API in another region than US1.",
            metavar="URL",
        ),
        Setting(
            "token-lifetime",
            "How long the URL of a stream in the TwiML is valid.",
            TOKEN_LIFETIME_MS,
            parse_duration_ms,
            metavar="TIME",
        ),
        Setting(
            "realtime-url",
            "The URL of a Realtime server other than OpenAI's.",
            realtime.URL,
            metavar="URL",
            is_hidden=True,
            variables=(REALTIME_URL_VARIABLE,),
        ),
        _of_choices(
            "provider", "The provider of the Realtime server.", "openai", "openai", "azure"
        ),
        Setting(
            "header",
            "A further header for the Realtime server, as 'NAME: VALUE'; $VARIABLE stands for an"
            " environment variable. It may be given several times.",
            (),
            _texts,
            metavar="HEADER",
            is_list=True,
            is_hidden=True,
        ),
        Setting(
            "organization",
            "The OpenAI organization.",
            metavar="ID",
            variables=("OPENAI_ORG_ID",),
        ),
        Setting("project", "The OpenAI project.", metavar="ID", variables=("OPENAI_PROJECT_ID",)),
        Setting("certificate", "Serve TLS with this certificate chain, in PEM.", metavar="FILE"),
        Setting("key", "The certificate's key, if it is in another file.", metavar="FILE"),
        Setting(
            "record",
            "Record each call to a file in DIR, without audio, for `replay`.",
            metavar="DIR",
        ),
        _on_or_off("record-audio", "With --record: record the audio too."),
        _on_or_off(
            "browser-phone",
            "Serve a page of this machine to speak with the agent; its link is printed.",
        ),
        _on_or_off("live-words", "With --browser-phone: show what is said in other calls."),
        Setting(
            "drain-timeout",
            "How long calls may continue after SIGTERM.",
            DRAIN_TIMEOUT_MS,
            parse_duration_ms,
            metavar="TIME",
        ),
        _of_number(
            "max-calls",
            "Calls at a time; others hear a busy signal.",
            CallLimits().max_calls,
            1,
            100_000,
        ),
        _of_number(
            "max-calls-per-minute",
            "Calls that begin within a minute; others hear a busy signal.",
            CallLimits().max_calls_per_minute,
            1,
            1_000_000,
        ),
        _of_limit("max-minutes-per-day", "Minutes of all calls in a day of UTC."),
        _of_limit("max-tokens-per-call", "Tokens of a call, which ends once all was heard."),
        _of_limit("max-calls-per-caller", "Calls of one number in an hour; others: a busy signal."),
        Setting(
            "max-loop-lag",
            "How late the event loop may be before new callers hear a busy signal.",
            CallLimits().max_loop_lag_ms,
            parse_duration_ms,
            metavar="TIME",
        ),
        Setting(
            "metrics-port",
            "Serve metrics for Prometheus at this port, at /metrics; 0 for a free one.",
            None,
            _integer(0, 65535),
            metavar="PORT",
        ),
        Setting(
            "metrics-host",
            'The address for metrics; "" for all addresses, where a firewall shields them.',
            "127.0.0.1",
        ),
        _on_or_off("traces", "Trace calls by OpenTelemetry, if the program sets up its SDK."),
        _on_or_off("trace-words", "With --traces: keep what is said, and what functions get."),
        _of_choices(
            "log-format",
            "The format of the log: text for people, JSON for programs.",
            "text",
            "text",
            "json",
        ),
        _of_choices(
            "log-level",
            "The least important events that are logged.",
            "info",
            *("debug", "info", "warning", "error"),
        ),
        Setting(
            "runtime",
            "The event loop to run on; trio, if it is installed.",
            parse=_choice("trio", "asyncio"),
            choices=("trio", "asyncio"),
        ),
    )
}
"""All settings of a service, by name."""

SECRETS: Final = {
    "api-key": (API_KEY_VARIABLE,),
    "azure-api-key": (AZURE_KEY_VARIABLE,),
    "azure-token": (AZURE_TOKEN_VARIABLE,),
    "auth-token": (AUTH_TOKEN_VARIABLE,),
    "twilio-account-sid": ("TWILIO_ACCOUNT_SID",),
    "twilio-api-key": ("TWILIO_API_KEY",),
    "twilio-api-secret": ("TWILIO_API_SECRET",),
}
"""The secrets, with their environment variables; `NAME_FILE` names a file that holds one."""


@frozen
class LoadedSettings(Mapping[str, Any]):
    """The values of all settings and secrets, by name, and where each is from."""

    values_by_name: Mapping[str, Any]
    sources: Mapping[str, str]

    def __getitem__(self, name: str) -> Any:
        return self.values_by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)

    def describe(self) -> list[tuple[str, str, str]]:
        """Return name, value and source of each setting, fit to be shown: without secrets."""
        return [
            (name, _describe_value(name, value), self.sources[name])
            for name, value in self.values_by_name.items()
        ]


def load_settings(
    flags: Mapping[str, Any], environment: Mapping[str, str], folder: Path
) -> LoadedSettings:
    """Return the settings of a service. `flags` are given by name or key, and `None` if not given;
    files are those of `folder`.

    Raises `UsageError` for a value that is not valid, a name that is unknown, a secret that is
    given otherwise than by the environment, and a file that is no TOML or not UTF-8. Raises
    `OSError` for a file that cannot be read.
    """
    given = {name.replace("_", "-"): value for name, value in flags.items() if value is not None}
    file_name, in_file = _read_config(folder)
    for names, where in ((given, "the arguments"), (in_file, file_name)):
        _check_names(names, where)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for setting in SETTINGS.values():
        raw, source = setting.default, "default"
        variable = next((each for each in setting.all_variables if environment.get(each)), None)
        if setting.name in given and not (setting.is_list and not given[setting.name]):
            raw, source = given[setting.name], f"--{setting.name}"
        elif variable is not None:
            raw, source = environment[variable], variable
        elif setting.name in in_file:
            raw, source = in_file[setting.name], file_name
        place = f"{file_name}: {setting.name}" if source == file_name else source
        values[setting.name] = raw if source == "default" else _parse(setting, raw, place)
        sources[setting.name] = source
    for name, variables in SECRETS.items():
        values[name], sources[name] = _read_secret(variables, environment)
    return LoadedSettings(values, sources)


def read_env_file(path: Path) -> dict[str, str]:
    """Return the variables in a file of lines `NAME=VALUE`, with `#` before comments, and quotes
    around a value that needs them.

    Raises `OSError` if it cannot be read, and `UsageError` for another line or if it is not UTF-8.
    """
    variables: dict[str, str] = {}
    for number, line in enumerate(read_text_file(path).splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _ENV_LINE.fullmatch(text)
        if match is None:
            raise UsageError(f"{path}, line {number}, is not NAME=VALUE")
        name, value = match.groups()
        quoted = _QUOTED.fullmatch(value)
        if quoted is not None:
            value = quoted["value"]
        elif value.startswith(("'", '"')):
            raise UsageError(f"{path}, line {number}: quote all of the value of {name}, or nothing")
        else:
            value = re.split(r"\s#", value)[0].rstrip()
        variables[name] = value
    return variables


def parse_headers(
    lines: Sequence[str], environment: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """Return the headers in lines `NAME: VALUE`, with the values of the environment variables that
    they name. Raises `UsageError` for another line, and for a variable that is not set."""
    headers: list[tuple[str, str]] = []
    for line in lines:
        match = _HEADER.fullmatch(line)
        if match is None:
            raise UsageError("--header is not 'NAME: VALUE'")

        def look_up(reference: re.Match[str]) -> str:
            name = reference[1] or reference[2]
            if name not in environment:
                raise UsageError(f"--header names {name}, which is not set")
            return environment[name].strip()

        headers.append((match[1], _REFERENCE.sub(look_up, match[2].rstrip())))
    return tuple(headers)


def _read_config(folder: Path) -> tuple[str, Mapping[str, Any]]:
    """Return the name of the file with settings, and what it says."""
    for name, keys in ((CONFIG_FILE, ()), ("pyproject.toml", ("tool", _TOOL))):
        path = folder / name
        if not path.is_file():
            continue
        try:
            content: dict[str, Any] | None = tomllib.loads(read_text_file(path, name))
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{name} is not valid: {error}") from None
        for key in keys:
            content = _as_table((content or {}).get(key))
        if content is not None:
            return name, {each.replace("_", "-"): value for each, value in content.items()}
    return CONFIG_FILE, {}


def _as_table(value: object) -> dict[str, Any] | None:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _check_names(names: Mapping[str, Any], where: str) -> None:
    for name in names:
        if name in SECRETS:
            variable = SECRETS[name][0]
            raise UsageError(f"{where}: {name} is a secret: set {variable}, or {variable}_FILE")
        if name not in SETTINGS:
            (similar,) = difflib.get_close_matches(name, SETTINGS, 1) or ("",)
            hint = f": did you mean {similar}?" if similar else ""
            raise UsageError(f"{where}: there is no setting {name}{hint}")


def _parse(setting: Setting, raw: object, place: str) -> Any:
    """Return the value of a setting. Raises `UsageError`, which names the place."""
    try:
        return setting.parse(raw)
    except ValueError as error:
        shown = "" if setting.is_hidden else f" {raw!r}"
        raise UsageError(f"{place} is not valid{shown}: {error}") from None


def _read_secret(
    variables: Sequence[str], environment: Mapping[str, str]
) -> tuple[str | None, str]:
    for variable in variables:
        if environment.get(variable, "").strip():
            return environment[variable], variable
        file = environment.get(f"{variable}_FILE", "").strip()
        if file:
            name = f"{variable}_FILE"
            return read_text_file(Path(file), f"{name}: {file}"), name
    return None, "default"


def _describe_value(name: str, value: object) -> str:
    if value is None or value == ():
        return "not set"
    if name in SECRETS or (SETTINGS[name].is_hidden and value != SETTINGS[name].default):
        return "set"
    match value:
        case bool():
            return "true" if value else "false"
        case _:
            return f"{value} ms" if SETTINGS[name].is_duration else str(value)
