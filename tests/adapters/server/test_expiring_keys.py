"""Keys for the Realtime server that expire: a function returns them, for each connection."""

import logging
import os
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Any

import anyio
import pytest
from attrs import define, evolve, field

from driving import (
    LINK,
    RUNTIMES,
    CallParties,
    ignore,
    listening,
    run_in_real_time,
    run_in_virtual_time,
)
from hosting import HostedTestCall
from twilio_realtime.agents.call import Call
from twilio_realtime.agents.call_acceptor import call_acceptor
from twilio_realtime.errors import UsageError
from twilio_realtime.server.service import Service
from twilio_realtime.server.service_config import ServiceConfig
from twilio_realtime.sim.model.realtime_peer import CLIENT, MAX_SESSION_NS, RealtimePeer
from twilio_realtime.sim.model.replies import Reply
from twilio_realtime.sim.phone.twilio_peer import SERVER, TwilioPeer
from twilio_realtime_core import CallConfig, Fault, HangUp, LocalProtocolError, Peer
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.notifications import (
    CallEnded,
    EndReason,
    SessionLost,
    SessionReady,
    SessionRestored,
)
from twilio_realtime_core.transport.http import HttpConnection, HttpRequest, HttpResponse, Upgrade
from twilio_realtime_core.transport.stack import Stack

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)


class NoTokenError(Exception):
    """No token could be had."""


@define(eq=False)
class Tokens:
    """Tokens of which only the last one is valid; some attempts to get one fail."""

    failures: tuple[int, ...] = ()
    """The numbers of the attempts that fail, from 1."""
    count: int = field(init=False, default=0)

    @property
    def valid(self) -> str:
        return f"secret-{self.count}"

    def take(self) -> str:
        self.count += 1
        if self.count in self.failures:
            raise NoTokenError("the secret is not to be had")
        return self.valid

    async def take_later(self) -> str:
        await anyio.sleep(0)
        return self.take()

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.take()}"}

    async def headers_later(self) -> tuple[tuple[str, str], ...]:
        return (("Authorization", f"Bearer {await self.take_later()}"),)


@define(eq=False)
class KeyedModel:
    """A model that refuses all but the valid token, and whose first session expires at once."""

    tokens: Tokens
    keys: list[str | None] = field(init=False, factory=list[str | None])
    """The Authorization header of each connection."""

    def machine(self) -> HttpConnection:
        return HttpConnection(CLIENT, self._respond, os.urandom)

    def _respond(self, request: HttpRequest) -> HttpResponse | Upgrade:
        self.keys.append(request.header("authorization"))
        if self.keys[-1] != f"Bearer {self.tokens.valid}":
            return HttpResponse(401)
        duration_ns = 300 * MS if len(self.keys) == 1 else MAX_SESSION_NS
        peer = RealtimePeer([Reply()], seed=len(self.keys), max_duration_ns=duration_ns)
        return Upgrade(peer, CLIENT, {CLIENT: LINK})


@define(eq=False)
class Listener:
    """An agent that hangs up once a session is restored."""

    events: list[object] = field(init=False, factory=list[object])

    async def __call__(self, call: Call) -> None:
        async for event in call:
            self.events.append(event)
            if isinstance(event, SessionRestored):
                call.send(HangUp())

    def of(self, *kinds: type) -> list[Any]:
        return [each for each in self.events if isinstance(each, kinds)]


Keyed = Callable[[Tokens], Mapping[str, Any]]
"""Settings of the service that use tokens."""

EACH_KIND: Mapping[str, Keyed] = {
    "key": lambda tokens: {"api_key": tokens.take},
    "async key": lambda tokens: {"api_key": tokens.take_later},
    "headers": lambda tokens: {"headers": tokens.headers},
    "async headers": lambda tokens: {"headers": tokens.headers_later},
}
each_kind = pytest.mark.parametrize("kind", EACH_KIND)


async def serve_call(runtime: str, model: KeyedModel, listener: Listener, **keyed: Any) -> None:
    """Run a call over sockets: a phone, the service, and the model."""
    api = RUNTIMES[runtime]

    def accept_model() -> tuple[Any, Hashable]:
        return api.Driver(model.machine(), ignore), CLIENT

    async with listening(api, accept_model) as models:
        call = CallConfig(url=f"ws://127.0.0.1:{models[0][1]}/v1/realtime")
        service = Service(ServiceConfig(call=call, **keyed))
        accept = call_acceptor(service, listener, api.Driver)
        async with listening(api, accept) as addresses:
            phone = TwilioPeer(url=f"ws://127.0.0.1:{addresses[0][1]}/media-stream")
            await api.drive(Stack(phone, {SERVER: LINK}, os.urandom), notify=ignore)
            while not listener.of(CallEnded):
                await anyio.sleep(0.001)


@each_runtime
@each_kind
def test_a_restored_session_has_a_new_key(runtime: str, kind: str) -> None:
    tokens, listener = Tokens(), Listener()
    model = KeyedModel(tokens)
    keyed = EACH_KIND[kind](tokens)
    run_in_real_time(runtime, lambda: serve_call(runtime, model, listener, **keyed))
    assert model.keys == ["Bearer secret-1", "Bearer secret-2"]
    assert len(listener.of(SessionReady)) == 2
    assert [each.reason for each in listener.of(CallEnded)] == [EndReason.HUNG_UP]


@each_runtime
@each_kind
def test_a_key_that_cannot_be_had_is_asked_for_again(
    runtime: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    tokens, listener = Tokens(failures=(1, 3)), Listener()
    model = KeyedModel(tokens)
    keyed = EACH_KIND[kind](tokens)
    run_in_real_time(runtime, lambda: serve_call(runtime, model, listener, **keyed))
    assert model.keys == ["Bearer secret-2", "Bearer secret-4"]
    reason = "the function of the headers has raised NoTokenError"
    lost = [each.cause for each in listener.of(SessionLost)]
    assert lost == [
        EndReason.REALTIME_UNREACHABLE,
        EndReason.REALTIME_CLOSED,
        EndReason.REALTIME_UNREACHABLE,
    ]
    assert [each.message for each in listener.of(Fault)].count(f"could not be reached: {reason}")
    lines = [each.getMessage() for each in caplog.records]
    assert sum(reason in line and "attempt" in line for line in lines) == 2
    assert "secret" not in caplog.text


@define(eq=False)
class KeyedParties(CallParties):
    """The parties of a call whose model notes its keys."""

    keyed: KeyedModel = field(kw_only=True)

    def model_machine(self) -> HttpConnection:
        return self.keyed.machine()


def hosted_call(
    runtime: str, key: Callable[[], str | Awaitable[str]], model: KeyedModel, listener: Listener
) -> HostedTestCall:
    config = ServiceConfig(api_key=key, call=CallConfig(url="ws://localhost/v1/realtime"))
    return HostedTestCall(runtime, listener, KeyedParties(script=(), keyed=model), config)


@each_runtime
def test_a_hosted_call_has_a_new_key_in_a_restored_session(runtime: str) -> None:
    tokens, listener = Tokens(), Listener()
    model = KeyedModel(tokens)
    call = hosted_call(runtime, tokens.take, model, listener)
    run_in_real_time(runtime, call.run)
    assert model.keys == ["Bearer secret-1", "Bearer secret-2"]
    assert listener.of(SessionRestored)


@each_runtime
def test_a_key_that_takes_too_long_is_asked_for_again(runtime: str) -> None:
    tokens, listener = Tokens(), Listener()
    model = KeyedModel(tokens)

    async def take() -> str:
        if tokens.take() == "secret-1":
            await anyio.sleep_forever()
        return tokens.valid

    call = hosted_call(runtime, take, model, listener)
    run_in_virtual_time(runtime, call.run)
    assert model.keys == ["Bearer secret-2", "Bearer secret-3"]
    first = listener.of(SessionLost)[0]
    assert first.attempt == 1


@each_runtime
def test_a_key_that_never_comes_ends_the_call(runtime: str) -> None:
    listener = Listener()
    model = KeyedModel(Tokens())

    async def take() -> str:
        await anyio.sleep_forever()
        raise AssertionError

    run_in_virtual_time(runtime, hosted_call(runtime, take, model, listener).run)
    [ended] = listener.of(CallEnded)
    assert ended.reason in (EndReason.SESSION_NOT_READY, EndReason.REALTIME_UNREACHABLE)
    assert model.keys == []


def test_a_config_with_functions_shows_no_secret() -> None:
    tokens = Tokens()
    config = ServiceConfig(api_key=tokens.take, headers=tokens.headers)
    assert "secret" not in repr(config)
    assert tokens.count == 0


@pytest.mark.parametrize("keyed", [{"api_key": str}, {"headers": dict}])
def test_a_key_of_a_function_is_not_sent_in_the_clear(keyed: Any) -> None:
    with pytest.raises(UsageError, match="would travel in the clear"):
        ServiceConfig(call=CallConfig(url="ws://model.example/v1/realtime"), **keyed)


def headers_of(**settings: Any) -> Any:
    headers: Any = ServiceConfig(**settings).link_configs()[Peer.REALTIME].headers
    return headers()


def test_headers_of_a_function_follow_the_key_and_what_it_belongs_to() -> None:
    named = {"organization": "org-1", "headers": lambda: {"X-Tag": "a"}}
    rest = (("OpenAI-Organization", "org-1"), ("X-Tag", "a"))
    assert headers_of(**named) == rest
    assert headers_of(api_key="key", **named) == (("Authorization", "Bearer key"), *rest)
    azure = evolve(CallConfig(), url="wss://shop.openai.azure.com/openai/v1/realtime")
    settings = {"provider": "azure", "call": azure, **named}
    assert headers_of(api_key="key", **settings) == (("api-key", "key"), *rest)
    assert headers_of(api_key=lambda: "token", **settings)[0] == ("Authorization", "Bearer token")


@pytest.mark.parametrize("returned", [None, b"secret", 1])
def test_a_key_that_is_no_text_is_an_error_that_does_not_show_it(returned: Any) -> None:
    with pytest.raises(LocalProtocolError, match="must return text, not") as error:
        headers_of(api_key=lambda: returned)
    assert "secret" not in str(error.value)
