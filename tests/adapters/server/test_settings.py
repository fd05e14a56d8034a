"""The settings of a service, and where they come from."""

from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime.agents.agent import Agent
from twilio_realtime.agents.call import Call
from twilio_realtime.errors import UsageError
from twilio_realtime.server.durations import parse_duration_ms
from twilio_realtime.server.service_config import ServiceConfig
from twilio_realtime.server.serving import find_agent, make_service_config
from twilio_realtime.server.settings import (
    SETTINGS,
    load_settings,
    parse_headers,
    read_env_file,
)
from twilio_realtime_core import CallConfig, Peer
from twilio_realtime_core.protocols import realtime

KEY, TOKEN = "sk-proj-0123", 32 * "a"
SECRETS = {"OPENAI_API_KEY": KEY, "TWILIO_AUTH_TOKEN": TOKEN}


def test_a_flag_precedes_the_environment_a_file_and_the_default(tmp_path: Path) -> None:
    file = tmp_path / "twilio-realtime.toml"
    file.write_text('port = 3\nvoice = "of the file"\nmodel = "of the file"\ninsecure = true\n')
    environment = {"TWILIO_REALTIME_PORT": "2", "TWILIO_REALTIME_VOICE": "of the environment"}
    settings = load_settings({"port": "1", "voice": None}, environment, tmp_path)
    found = {name: (settings[name], settings.sources[name]) for name in settings}
    assert found["port"] == (1, "--port")
    assert found["voice"] == ("of the environment", "TWILIO_REALTIME_VOICE")
    assert found["model"] == ("of the file", "twilio-realtime.toml")
    assert found["insecure"] == (True, "twilio-realtime.toml")
    assert found["host"] == ("127.0.0.1", "default")


def test_settings_may_stand_in_pyproject(tmp_path: Path) -> None:
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text('[tool.twilio-realtime]\nagent = "shop:pizza"\ntrust_proxy = true\n')
    settings = load_settings({}, {}, tmp_path)
    assert (settings["agent"], settings["trust-proxy"]) == ("shop:pizza", True)
    assert settings.sources["agent"] == "pyproject.toml"
    pyproject.write_text("[tool.other]\n")
    assert load_settings({}, {}, tmp_path).sources["agent"] == "default"


def test_port_is_taken_from_the_platform(tmp_path: Path) -> None:
    assert load_settings({}, {"PORT": "8080"}, tmp_path)["port"] == 8080
    both = {"PORT": "8080", "TWILIO_REALTIME_PORT": "5060"}
    assert load_settings({}, both, tmp_path)["port"] == 5060


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    assert load_settings({}, {"TWILIO_REALTIME_PORT": ""}, tmp_path)["port"] == 5050


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("true", True), ("Yes", True), ("on", True), ("0", False), ("no", False)],
)
def test_flags_are_written_as_words(tmp_path: Path, text: str, value: object) -> None:
    assert load_settings({}, {"TWILIO_REALTIME_INSECURE": text}, tmp_path)["insecure"] is value


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("25s", 25_000),
        ("10m", 600_000),
        ("10 min", 600_000),
        ("1h", 3_600_000),
        ("500ms", 500),
        ("1.5s", 1500),
        ("60", 60_000),
        (60, 60_000),
        (0.5, 500),
    ],
)
def test_durations_have_units(text: object, milliseconds: int) -> None:
    assert parse_duration_ms(text) == milliseconds


@pytest.mark.parametrize("text", ["", "s", "1d", "-1s", "1s 2s", True, None, [], "٣s", "1e9"])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="500ms, 25s, 10m or 1h"):
        parse_duration_ms(text)


@pytest.mark.parametrize(
    ("flags", "environment", "words"),
    [
        ({"port": "65536"}, {}, "--port is not valid '65536': use a number from 0 to 65535"),
        ({"port": "x"}, {}, "use a number"),
        ({}, {"PORT": "x"}, "PORT is not valid 'x'"),
        ({}, {"TWILIO_REALTIME_INSECURE": "maybe"}, "use true or false"),
        ({"runtime": "curio"}, {}, "use trio or asyncio"),
        ({"token-lifetime": "soon"}, {}, "use a time such as"),
        ({"prot": "1"}, {}, "there is no setting prot: did you mean port"),
        ({"quite_other": "1"}, {}, "there is no setting quite-other$"),
        ({"api_key": KEY}, {}, "api-key is a secret: set OPENAI_API_KEY, or OPENAI_API_KEY_FILE"),
        ({"public_url": 7}, {}, "--public-url is not valid: it is not text"),
        ({"header": [7]}, {}, "--header is not valid: use a list of texts"),
    ],
)
def test_an_invalid_setting_is_named(
    tmp_path: Path, flags: dict[str, Any], environment: dict[str, str], words: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        load_settings(flags, environment, tmp_path)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("port", "twilio-realtime.toml is not valid"),
        ("[tool]", "twilio-realtime.toml: there is no setting tool"),
        ("auth-token = 'x'", "auth-token is a secret: set TWILIO_AUTH_TOKEN"),
        ("port = true", "use a number"),
        ("port = 'x'", "twilio-realtime.toml: port is not valid 'x': use a number from 0 to 65535"),
        ("max_calls = 5.5", "twilio-realtime.toml: max-calls is not valid 5.5: use a number"),
        ("instructions = 7", "twilio-realtime.toml: instructions is not valid: it is not text"),
        ("header = [7]", "twilio-realtime.toml: header is not valid: use a list of texts"),
        ("insecure = 7", "use true or false"),
    ],
)
def test_an_invalid_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "twilio-realtime.toml").write_text(text)
    with pytest.raises(UsageError, match=words):
        load_settings({}, {}, tmp_path)


def test_secrets_come_from_the_environment_or_from_files(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(f"{KEY}\n")
    settings = load_settings({}, {"OPENAI_API_KEY_FILE": str(key_file), **SECRETS}, tmp_path)
    assert settings.sources["api-key"] == "OPENAI_API_KEY"
    environment = {"OPENAI_API_KEY_FILE": str(key_file), "TWILIO_AUTH_TOKEN": TOKEN}
    settings = load_settings({}, environment, tmp_path)
    assert settings.sources["api-key"] == "OPENAI_API_KEY_FILE"
    config = make_service_config(settings, environment)
    assert (config.api_key, config.auth_token) == (KEY, TOKEN)
    with pytest.raises(OSError, match="absent"):
        load_settings({}, {"OPENAI_API_KEY_FILE": str(tmp_path / "absent")}, tmp_path)


NOT_UTF_8 = b"A=1\r\nB=" + KEY.encode() + b"\xff\r\n"


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    variables, secret = tmp_path / ".env", tmp_path / "key"
    variables.write_bytes(NOT_UTF_8)
    secret.write_bytes(KEY.encode("utf-16"))
    with pytest.raises(UsageError) as of_variables:
        read_env_file(variables)
    assert str(of_variables.value) == (
        f"{variables}, line 2, is not text in UTF-8: save the file as UTF-8"
    )
    with pytest.raises(UsageError) as of_secret:
        load_settings({}, {"OPENAI_API_KEY_FILE": str(secret)}, tmp_path)
    assert str(of_secret.value).startswith(f"OPENAI_API_KEY_FILE: {secret}, line 1, is not text")
    (tmp_path / "twilio-realtime.toml").write_bytes(NOT_UTF_8)
    with pytest.raises(UsageError) as of_settings:
        load_settings({}, {}, tmp_path)
    assert str(of_settings.value).startswith("twilio-realtime.toml, line 2, is not text in UTF-8")
    for each in (of_variables, of_secret, of_settings):
        assert KEY not in str(each.value)


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\n", "utf-8-sig")
    (tmp_path / "key").write_text(KEY, "utf-8-sig")
    (tmp_path / "twilio-realtime.toml").write_text("port = 7", "utf-8-sig")
    assert read_env_file(tmp_path / ".env") == {"A": "1"}
    settings = load_settings({}, {"OPENAI_API_KEY_FILE": str(tmp_path / "key")}, tmp_path)
    assert (settings["api-key"], settings["port"]) == (KEY, 7)


def test_settings_are_described_without_secrets(tmp_path: Path) -> None:
    flags = {
        "public_url": "https://calls.example/t0ken",
        "header": ("X: t0ken",),
        "instructions": "Be t0ken.",
        "token_lifetime": "5s",
        "realtime_url": "wss://t0ken.example",
    }
    settings = load_settings(flags, SECRETS, tmp_path)
    rows = {name: (value, source) for name, value, source in settings.describe()}
    assert list(rows)[: len(SETTINGS)] == list(SETTINGS)
    assert not any(secret in str(rows) for secret in ("t0ken", KEY, TOKEN))
    assert rows["public-url"] == ("set", "--public-url")
    assert rows["auth-token"] == ("set", "TWILIO_AUTH_TOKEN")
    assert rows["azure-token"] == ("not set", "default")
    assert rows["token-lifetime"] == ("5000 ms", "--token-lifetime")
    assert load_settings({}, {}, tmp_path).describe()
    assert (realtime.URL, "default") in {
        (value, source) for _, value, source in load_settings({}, {}, tmp_path).describe()
    }


@given(
    st.dictionaries(
        st.sampled_from(
            [variable for each in SETTINGS.values() for variable in each.all_variables]
        ),
        st.text(max_size=8),
    )
)
def test_any_environment_gives_settings_or_a_usage_error(environment: dict[str, str]) -> None:
    try:
        settings = load_settings({}, environment, Path("/nonexistent"))
    except UsageError:
        return
    assert set(settings) > set(SETTINGS)
    assert len(settings) == len(list(settings))


def test_a_file_of_variables_is_read(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(
        "# a comment\n\nexport A=1\nB = two words # and a comment\nC='#3'\nD=\"4\"\nE=\nF=x#y\n"
    )
    assert read_env_file(path) == {
        "A": "1",
        "B": "two words",
        "C": "#3",
        "D": "4",
        "E": "",
        "F": "x#y",
    }
    path.write_text("A=1\nB\n")
    with pytest.raises(UsageError, match="line 2, is not NAME=VALUE"):
        read_env_file(path)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ('"sk-1"  # my key', "sk-1"),
        ("'sk-1' # my key", "sk-1"),
        ('"sk-1"# my "key"', "sk-1"),
        ('"a # b" # c', "a # b"),
        ('"it\'s" # c', "it's"),
        ('"say \\"#\\" now" # c', 'say \\"#\\" now'),
        ('"a"b"', 'a"b'),
        ("'' # empty", ""),
        ("'C:\\calls\\'", "C:\\calls\\"),
        ("\"'sk-1'\"", "'sk-1'"),
    ],
)
def test_quotes_and_comments_are_no_part_of_a_value(tmp_path: Path, line: str, value: str) -> None:
    path = tmp_path / ".env"
    path.write_text(f"export A = {line}\nB=1\n")
    assert read_env_file(path) == {"A": value, "B": "1"}


@pytest.mark.parametrize("value", [f'"{KEY}', f"'{KEY}\" # c", f'"{KEY}"tail', '"'])
def test_a_quote_that_is_not_closed_is_refused(tmp_path: Path, value: str) -> None:
    path = tmp_path / ".env"
    path.write_text(f"A=1\nB={value}\n")
    with pytest.raises(UsageError, match=r"line 2: quote all of the value of B, or noth") as caught:
        read_env_file(path)
    assert KEY not in str(caught.value)


def test_headers_name_variables_for_their_secrets() -> None:
    environment = {"GATEWAY_TOKEN": f" {TOKEN}\n", "X": "1"}
    lines = ("Authorization: Bearer $GATEWAY_TOKEN", "x-tag:a${X}b", "Empty:")
    assert parse_headers(lines, environment) == (
        ("Authorization", f"Bearer {TOKEN}"),
        ("x-tag", "a1b"),
        ("Empty", ""),
    )
    with pytest.raises(UsageError, match="names ABSENT, which is not set"):
        parse_headers(["A: $ABSENT"], environment)
    with pytest.raises(UsageError, match="not 'NAME: VALUE'"):
        parse_headers(["no header"], environment)


def test_headers_of_the_environment_stand_in_lines(tmp_path: Path) -> None:
    settings = load_settings({"header": ()}, {"TWILIO_REALTIME_HEADER": "A: 1\nB: 2\n"}, tmp_path)
    assert settings["header"] == ("A: 1", "B: 2")


# The service that they make


def configure(
    folder: Path, environment: dict[str, str], agent: Any = None, **flags: Any
) -> ServiceConfig:
    return make_service_config(load_settings(flags, environment, folder), environment, agent)


def headers_of(config: ServiceConfig) -> dict[str, str]:
    headers = config.link_configs()[Peer.REALTIME].headers
    return dict(cast(Any, headers() if callable(headers) else headers))


def test_openai_gets_organization_and_project(tmp_path: Path) -> None:
    environment = {**SECRETS, "OPENAI_ORG_ID": "org-1", "OPENAI_PROJECT_ID": "proj-1"}
    config = configure(tmp_path, environment, header=("X-Tag: a",))
    assert headers_of(config) == {
        "Authorization": f"Bearer {KEY}",
        "OpenAI-Organization": "org-1",
        "OpenAI-Project": "proj-1",
        "X-Tag": "a",
    }
    assert config.call.url == realtime.URL


def test_azure_gets_its_key_or_a_bearer_token(tmp_path: Path) -> None:
    environment = {
        "AZURE_OPENAI_API_KEY": "azure-key",
        "AZURE_OPENAI_ENDPOINT": "https://shop.openai.azure.com/",
    }
    config = configure(tmp_path, environment, provider="azure", model="my-deployment")
    assert headers_of(config) == {"api-key": "azure-key"}
    assert config.call.url == "wss://shop.openai.azure.com/openai/v1/realtime"
    assert config.call.model == "my-deployment"
    environment["AZURE_OPENAI_AD_TOKEN"] = "bearer-token"
    config = configure(tmp_path, environment, provider="azure")
    assert headers_of(config) == {"Authorization": "Bearer bearer-token"}


@pytest.mark.parametrize(
    ("environment", "flags", "words"),
    [
        ({}, {}, "set AZURE_OPENAI_ENDPOINT"),
        ({"AZURE_OPENAI_ENDPOINT": "https://a.azure.com"}, {}, "AZURE_OPENAI_API_KEY or"),
        (
            {"AZURE_OPENAI_API_KEY": "k"},
            {"realtime_url": "wss://a.azure.com/openai/realtime?api-version=1&deployment=d"},
            "old protocol",
        ),
        ({"AZURE_OPENAI_API_KEY": "k"}, {"realtime_url": realtime.URL}, "that of your resource"),
    ],
)
def test_azure_needs_its_url_and_its_key(
    tmp_path: Path, environment: dict[str, str], flags: dict[str, str], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        configure(tmp_path, environment, provider="azure", **flags)


AZURE = CallConfig(url="wss://shop.openai.azure.com/openai/v1/realtime")


def test_several_auth_tokens_are_separated_by_commas(tmp_path: Path) -> None:
    environment = {"OPENAI_API_KEY": KEY, "TWILIO_AUTH_TOKEN": "first, second,\n"}
    assert configure(tmp_path, environment).auth_token == ("first", "second")
    environment["TWILIO_AUTH_TOKEN"] = "first,two words"
    with pytest.raises(UsageError, match="TWILIO_AUTH_TOKEN contains a space"):
        configure(tmp_path, environment)


def test_without_a_file_the_built_in_agent_is_described_by_settings(tmp_path: Path) -> None:
    flags = {"instructions": "Be brief.", "voice": "cedar", "greeting": "Greet.", "model": "m"}
    found = find_agent(load_settings(flags, {}, tmp_path), tmp_path)
    assert found.name == "the built-in agent"
    agent = found.handler
    assert isinstance(agent, Agent)
    assert (agent.instructions, agent.voice, agent.greeting, agent.model) == tuple(flags.values())


def test_settings_take_precedence_over_the_agents_values(tmp_path: Path) -> None:
    (tmp_path / "loaded_agent.py").write_text(
        'from twilio_realtime import Agent\nagent = Agent("Of the file.", voice="marin")\n'
    )
    flags = {"agent": "loaded_agent", "voice": "cedar"}
    found = find_agent(load_settings(flags, {}, tmp_path), tmp_path)
    assert isinstance(found.handler, Agent)
    assert (found.handler.instructions, found.handler.voice) == ("Of the file.", "cedar")
    with pytest.raises(UsageError, match="voice"):
        find_agent(load_settings({**flags, "voice": ""}, {}, tmp_path), tmp_path)


def test_a_function_is_configured_by_settings(tmp_path: Path) -> None:
    async def agent(call: Call) -> None: ...

    config = configure(tmp_path, SECRETS, agent, instructions="Be brief.", voice="cedar", model="m")
    session = config.call.session
    assert (session.instructions, session.voice, config.call.model) == ("Be brief.", "cedar", "m")


def test_the_url_of_an_agent_is_that_of_the_service(tmp_path: Path) -> None:
    agent = Agent(config=CallConfig(url="wss://model.example/v1/realtime"))
    assert configure(tmp_path, SECRETS, agent).call.url == "wss://model.example/v1/realtime"
    local = configure(tmp_path, SECRETS, agent, realtime_url="ws://127.0.0.1:1/")
    assert local.call.url == "ws://127.0.0.1:1/"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"factory": True}, "--factory needs the name"),
        ({"agent": "absent_module"}, "there is no module absent_module"),
    ],
)
def test_an_agent_that_cannot_be_found_is_named(
    tmp_path: Path, flags: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        find_agent(load_settings(flags, {}, tmp_path), tmp_path)


def test_a_greeting_is_for_an_agent(tmp_path: Path) -> None:
    (tmp_path / "plain_agent.py").write_text("async def agent(call): ...\n")
    flags = {"agent": "plain_agent", "greeting": "Greet."}
    with pytest.raises(UsageError, match="--greeting is for an Agent"):
        find_agent(load_settings(flags, {}, tmp_path), tmp_path)
