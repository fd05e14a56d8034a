"""The settings in environment variables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime.errors import UsageError
from twilio_realtime.server.environment import Settings, read_settings
from twilio_realtime_core.protocols import realtime

KEY = "sk-proj-abc"
TOKEN = "0123456789abcdef"
OTHER_URL = "wss://models.example/v1/realtime"


def test_variables_that_are_set_are_read() -> None:
    environment = {
        "OPENAI_API_KEY": KEY,
        "TWILIO_AUTH_TOKEN": TOKEN,
        "OPENAI_REALTIME_URL": OTHER_URL,
        "HOME": "/root",
    }
    assert read_settings(environment) == Settings(
        api_key=KEY, auth_token=TOKEN, realtime_url=OTHER_URL
    )


def test_the_key_is_sufficient_for_openai() -> None:
    assert read_settings({"OPENAI_API_KEY": KEY}) == Settings(
        api_key=KEY, auth_token=None, realtime_url=realtime.URL
    )


def test_a_given_url_overrides_that_of_the_environment() -> None:
    environment = {"OPENAI_API_KEY": KEY, "OPENAI_REALTIME_URL": "wss://other.example"}
    assert read_settings(environment, OTHER_URL).realtime_url == OTHER_URL


@pytest.mark.parametrize("value", ["", "  ", "\n"])
def test_an_empty_variable_counts_as_not_set(value: str) -> None:
    environment = {
        "OPENAI_API_KEY": KEY,
        "TWILIO_AUTH_TOKEN": value,
        "OPENAI_REALTIME_URL": value,
    }
    assert read_settings(environment) == Settings(api_key=KEY)


def test_space_around_a_value_is_removed() -> None:
    environment = {"OPENAI_API_KEY": f" {KEY}\n", "TWILIO_AUTH_TOKEN": f"{TOKEN}\r\n"}
    assert read_settings(environment) == Settings(api_key=KEY, auth_token=TOKEN)


@pytest.mark.parametrize("environment", [{}, {"OPENAI_API_KEY": " "}])
def test_a_missing_key_is_named_with_instructions(environment: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"OPENAI_API_KEY is not set.*export OPENAI_API_KEY="):
        read_settings(environment)


@pytest.mark.parametrize(
    "url", ["ws://127.0.0.1:8000/v1/realtime", "wss://localhost/x", "ws://[::1]/", "ws://model/"]
)
def test_a_local_or_unencrypted_server_needs_no_key(url: str) -> None:
    assert read_settings({}, url).api_key is None


@pytest.mark.parametrize("url", ["https://api.openai.com/v1/realtime", "wss://:443", "ws://a b/"])
@pytest.mark.parametrize("given_as", ["option", "variable"])
def test_an_invalid_url_is_refused_without_showing_it(url: str, given_as: str) -> None:
    environment = {"OPENAI_API_KEY": KEY}
    if given_as == "variable":
        environment["OPENAI_REALTIME_URL"] = url
    with pytest.raises(UsageError, match="OPENAI_REALTIME_URL") as caught:
        read_settings(environment, url if given_as == "option" else None)
    assert url not in str(caught.value)


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "TWILIO_AUTH_TOKEN"])
@pytest.mark.parametrize("secret", ["two words", "two\nlines", "schl\u00fcssel", "nul\0"])
def test_an_invalid_secret_is_named_but_not_shown(name: str, secret: str) -> None:
    with pytest.raises(UsageError, match=name) as caught:
        read_settings({"OPENAI_API_KEY": KEY, name: secret})
    assert secret not in str(caught.value)


def test_secrets_are_not_shown() -> None:
    text = repr(Settings(api_key=KEY, auth_token=TOKEN, realtime_url="wss://h/?token=t0ken"))
    assert "hidden" in text
    assert not any(secret in text for secret in (KEY, TOKEN, "t0ken"))
    assert "None" in repr(Settings())


variable_names = st.sampled_from(["OPENAI_API_KEY", "TWILIO_AUTH_TOKEN", "OPENAI_REALTIME_URL"])


@given(st.dictionaries(variable_names, st.text(max_size=20)))
def test_any_environment_gives_settings_or_a_usage_error(environment: dict[str, str]) -> None:
    try:
        settings = read_settings(environment)
    except UsageError:
        return
    assert settings.api_key is None or settings.api_key in environment["OPENAI_API_KEY"]
