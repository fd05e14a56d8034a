"""Decisions of an agent about calls, over streams in memory, on both runtimes."""

import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast
from urllib.parse import urlencode

import anyio
import pytest
from attrs import define, field

from driving import LONG_SCRIPT, RUNTIMES, CallParties, ignore, run_in_virtual_time
from twilio_realtime import (
    Accept,
    Agent,
    CallHandler,
    Decision,
    FunctionAgent,
    Handlers,
    HangUp,
    IncomingCall,
    Redirect,
    Reject,
    StreamEnd,
)
from twilio_realtime.agents.call import Call
from twilio_realtime.agents.call_acceptor import call_acceptor
from twilio_realtime.agents.decisions import decision_twiml
from twilio_realtime.agents.failures import ApplicationError
from twilio_realtime.agents.hooks import CallHooks
from twilio_realtime.server.service import Service
from twilio_realtime.server.service_config import ServiceConfig
from twilio_realtime.sim.model.realtime_peer import CLIENT
from twilio_realtime.sim.phone.twilio_peer import TwilioPeer
from twilio_realtime_core import CallConfig, LocalProtocolError, Peer, SendBytes, SessionConfig
from twilio_realtime_core.notifications import CallEnded, CallStarted, EndReason
from twilio_realtime_core.transport.http import ANSWER_TIMEOUT_NS, HttpRequest, HttpResponse
from twilio_realtime_core.webhook import HANG_UP_TWIML

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)

CALL_SID = "CA" + 32 * "1"
FORM = {
    "From": "+15005550006",
    "To": "+15005550001",
    "CallSid": CALL_SID,
    "AccountSid": "AC1",
    "Direction": "inbound",
    "CallStatus": "ringing",
    "CallerName": "ANN",
    "ForwardedFrom": "+15005550002",
    "SipHeader_X-Tenant": "blue",
}
LOCAL = CallConfig(url="ws://model/v1/realtime")


@define(eq=False)
class Calls:
    """A service, and what happens to its connections."""

    runtime: str
    agent: Any
    tasks: Any = field(init=False)
    accept: Any = field(init=False)
    config: ServiceConfig = field(factory=lambda: ServiceConfig(call=LOCAL))
    parties: CallParties = field(factory=lambda: CallParties(LONG_SCRIPT))
    errors: list[Exception] = field(init=False, factory=list[Exception])
    unhandled: list[object] = field(init=False, factory=list[object])
    answers: list[str] = field(init=False, factory=list[str])

    def run(self, script: Callable[["Calls"], Awaitable[object]]) -> "Calls":
        async def main() -> None:
            async with anyio.create_task_group() as self.tasks:
                service = Service(self.config)
                make_driver = partial(self.api.Driver, dial=self.dial_model)
                self.accept = call_acceptor(
                    service, self.agent, make_driver, on_unhandled=self.unhandled.append
                )
                await script(self)

        run_in_virtual_time(self.runtime, main)
        return self

    @property
    def api(self) -> Any:
        return RUNTIMES[self.runtime]

    async def dial_model(self, host: str, port: int) -> Any:
        near, far = self.api.memory_pair()
        self.tasks.start_soon(
            self.api.Driver(self.parties.model_machine(), ignore).run, {CLIENT: far}
        )
        return near

    async def serve(self, far: Any) -> None:
        runner, peer = self.accept()
        try:
            await runner.run({peer: far})
        except ApplicationError as error:
            self.errors.append(error)

    async def request(self, path: str = "/incoming-call", **changes: str) -> str:
        """Return the answer to a webhook."""
        body = urlencode(FORM | changes).encode()
        near, far = self.api.memory_pair()
        near.send(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n\r\n".encode()
            + body
        )
        near.send_eof()
        await self.serve(far)
        answer = str(near.recv(65536), "utf-8")
        self.answers.append(answer)
        return answer

    async def call(self, answer: str) -> None:
        """Have the phone open the stream that the TwiML names, to the end of the call."""
        url = stream_url(answer)
        self.parties = CallParties(LONG_SCRIPT)
        self.parties.phone = TwilioPeer(url=url, seed=1, script=LONG_SCRIPT)

        async def dial_service(host: str, port: int) -> Any:
            near, far = self.api.memory_pair()
            self.tasks.start_soon(self.serve, far)
            return near

        await self.api.drive(self.parties.phone_machine(), notify=ignore, dial=dial_service)


def stream_url(answer: str) -> str:
    match = re.search(r'<Stream url="([^"]*)">', answer)
    assert match, answer
    return match[1]


def agent_that_decides(decision: Any, *, is_async: bool = True) -> Agent:
    """Return an agent that decides so about each call, or raises what it is given."""
    agent = Agent()

    def decide(incoming: IncomingCall) -> Decision | None:
        if isinstance(decision, Exception):
            raise decision
        return cast("Decision | None", decision)

    async def decide_later(incoming: IncomingCall) -> Decision | None:
        await anyio.sleep(1)
        return decide(incoming)

    agent.incoming(decide_later if is_async else decide)
    return agent


async def hang_up(call: Call) -> None:
    call.send(HangUp())


@each_runtime
@pytest.mark.parametrize("make", [Agent, Handlers, partial(FunctionAgent, hang_up)])
def test_each_kind_of_agent_has_hooks(runtime: str, make: Callable[[], CallHooks]) -> None:
    first, second, ends = make(), make(), list[str]()

    @first.incoming
    def choose(incoming: IncomingCall) -> Accept:
        return Accept(agent=cast(CallHandler, second), parameters={"customer": "17"})

    @second.after_stream
    def note_end(end: StreamEnd) -> None:
        ends.append(end.parameters["customer"])

    async def script(calls: Calls) -> None:
        await calls.call(await calls.request())
        assert HANG_UP_TWIML in await calls.request("/after-stream")

    Calls(runtime, first).run(script)
    assert ends == ["17"]


each_kind = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


@each_runtime
@each_kind
@pytest.mark.parametrize(
    ("decision", "twiml"),
    [
        (Reject(), '<Reject reason="rejected"/>'),
        (Reject("busy"), '<Reject reason="busy"/>'),
        (Redirect("https://other.example/a?b&c"), ">https://other.example/a?b&amp;c</Redirect>"),
        ("<Response><Say>Closed.</Say></Response>", "<Say>Closed.</Say>"),
        (None, '<Stream url="ws://localhost/media-stream/'),
        (Accept(), '<Stream url="ws://localhost/media-stream/'),
    ],
)
def test_what_an_agent_decides_is_the_twiml(
    runtime: str, decision: object, twiml: str, *, is_async: bool
) -> None:
    calls = Calls(runtime, agent_that_decides(decision, is_async=is_async))
    calls.run(lambda calls: calls.request())
    assert calls.answers[0].startswith("HTTP/1.1 200 OK\r\n")
    assert twiml in calls.answers[0]
    assert calls.errors == []


@each_runtime
@each_kind
@pytest.mark.parametrize("decision", [ValueError("+15005550006"), 7, "Hello", HttpResponse(200)])
def test_a_decision_that_fails_is_500_and_reported(
    runtime: str, decision: object, *, is_async: bool
) -> None:
    calls = Calls(runtime, agent_that_decides(decision, is_async=is_async))
    calls.run(lambda calls: calls.request())
    assert calls.answers[0].startswith("HTTP/1.1 500 ")
    (error,) = calls.errors
    assert "the decision about a call failed" in str(error)
    assert "+1500" not in str(error)


@each_runtime
def test_a_decision_that_takes_too_long_is_503(runtime: str) -> None:
    agent, cancelled = Agent(), list[str]()

    @agent.incoming
    async def never(incoming: IncomingCall) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(incoming.call_sid)

    async def script(calls: Calls) -> None:
        start = anyio.current_time()
        await calls.request()
        assert anyio.current_time() - start == pytest.approx(ANSWER_TIMEOUT_NS / 1e9, abs=3)

    calls = Calls(runtime, agent).run(script)
    assert calls.answers[0].startswith("HTTP/1.1 503 ")
    assert cancelled == [CALL_SID]
    assert "did not answer the request in time" in str(calls.unhandled)
    assert calls.errors == []


@each_runtime
def test_the_accepted_call_knows_who_calls_and_what_was_decided(runtime: str) -> None:
    calls_seen: list[Call] = []

    async def sales(call: Call) -> None:
        calls_seen.append(call)
        async for _ in call:
            pass

    session = SessionConfig(instructions="You sell pizza.")
    config = CallConfig(url=LOCAL.url, session=session)
    agent = agent_that_decides(Accept(agent=sales, parameters={"customer": "17"}, config=config))

    async def script(calls: Calls) -> None:
        answer = await calls.request()
        for secret in ("17", "customer", "+1500", CALL_SID):
            assert secret not in answer.partition("\r\n\r\n")[2]
        await calls.call(answer)

    calls = Calls(runtime, agent).run(script)
    (call,) = calls_seen
    assert call.started.custom_parameters == {"customer": "17"}
    assert call.ended is not None
    assert call.ended.reason is EndReason.CALLER_HUNG_UP
    incoming = call.incoming
    assert incoming is not None
    assert (incoming.from_, incoming.to) == ("+15005550006", "+15005550001")
    assert (incoming.call_sid, incoming.direction, incoming.call_status) == (
        CALL_SID,
        "inbound",
        "ringing",
    )
    assert (incoming.caller_name, incoming.forwarded_from) == ("ANN", "+15005550002")
    assert incoming.answered_by is None
    assert incoming.sip_headers == {"X-Tenant": "blue"}
    assert incoming.parameters == FORM
    assert "+1500" not in repr(incoming)
    assert calls.parties.model.session["instructions"] == "You sell pizza."
    assert calls.errors == []


@each_runtime
def test_without_a_handler_the_agent_knows_who_calls(runtime: str) -> None:
    seen: list[IncomingCall | None] = []

    async def agent(call: Call) -> None:
        seen.append(call.incoming)

    async def script(calls: Calls) -> None:
        await calls.call(await calls.request(AnsweredBy="human"))
        await calls.call('<Stream url="ws://localhost/media-stream">')

    Calls(runtime, agent).run(script)
    assert [each and (each.from_, each.answered_by) for each in seen] == [
        ("+15005550006", "human"),
        None,
    ]


@each_runtime
def test_several_agents_stand_behind_one_server(runtime: str) -> None:
    numbers = {"+1": Agent("One."), "+2": Agent("Two.")}
    agent = Agent("All others.")

    @agent.incoming
    def choose(incoming: IncomingCall) -> Accept:
        return Accept(agent=numbers.get(incoming.to))

    told: list[object] = []

    async def script(calls: Calls) -> None:
        for number in ("+1", "+2", "+3"):
            await calls.call(await calls.request(To=number))
            told.append(calls.parties.model.session["instructions"])

    Calls(runtime, agent).run(script)
    assert told == ["One.", "Two.", "All others."]


@each_runtime
def test_a_call_goes_on_after_its_stream(runtime: str) -> None:
    agent, ends = Agent(), list[StreamEnd]()

    @agent.incoming
    async def accept(incoming: IncomingCall) -> Accept:
        return Accept(parameters={"customer": "17"})

    @agent.after_stream
    async def go_on(end: StreamEnd) -> Decision | None:
        ends.append(end)
        return Accept() if len(ends) == 1 else None

    async def script(calls: Calls) -> None:
        answer = await calls.request()
        assert '<Connect action="http://localhost/after-stream">' in answer
        await calls.call(answer)
        again = await calls.request("/after-stream")
        assert stream_url(again) != stream_url(answer)
        assert HANG_UP_TWIML in await calls.request("/after-stream")

    Calls(runtime, agent).run(script)
    first, second = ends
    assert isinstance(first.ended, CallEnded)
    assert first.ended.reason is EndReason.CALLER_HUNG_UP
    assert first.parameters == {"customer": "17"}
    assert first.call.call_sid == CALL_SID
    assert second.ended is None  # the second stream was never opened


@each_runtime
def test_the_agent_that_had_the_call_decides_how_it_goes_on(runtime: str) -> None:
    chosen, asked = Agent(), list[str]()

    @chosen.after_stream
    def go_on(end: StreamEnd) -> Redirect:
        asked.append("chosen")
        return Redirect("/other")

    agent = agent_that_decides(Accept(agent=chosen))

    @agent.after_stream
    def other(end: StreamEnd) -> None:
        asked.append("other")

    async def script(calls: Calls) -> None:
        await calls.call(await calls.request())
        await calls.request("/after-stream")
        await calls.request("/after-stream", CallSid="CA2")

    calls = Calls(runtime, agent).run(script)
    assert "/other</Redirect>" in calls.answers[1]
    assert HANG_UP_TWIML in calls.answers[2]
    assert asked == ["chosen", "other"]


def test_without_a_handler_nothing_follows_the_stream() -> None:
    async def script(calls: Calls) -> None:
        assert "action" not in await calls.request()
        assert HANG_UP_TWIML in await calls.request("/after-stream")

    Calls("asyncio", Agent()).run(script)


def test_a_configuration_that_sends_the_key_in_the_clear_is_refused() -> None:
    config = CallConfig(url="ws://model.example")
    service = ServiceConfig(api_key="sk-secret", call=CallConfig())

    async def script(calls: Calls) -> None:
        answer = await calls.request()
        assert answer.startswith("HTTP/1.1 500 ")
        assert "in the clear" in answer

    Calls("asyncio", Agent(config=config), service).run(script)
    Calls("asyncio", agent_that_decides(Accept(config=config)), service).run(script)
    upgrade = HttpRequest("GET", "/media-stream", (("upgrade", "websocket"),))
    response = Service(service).respond(upgrade, Agent(config=config))
    assert isinstance(response, HttpResponse)
    assert response.status == 500


def test_a_decision_needs_something_that_waits_for_it() -> None:
    connection = Service(ServiceConfig()).open_connection(agent=agent_that_decides(None))
    connection.start(0)
    connection.connected(Peer.TWILIO, 0)
    data = b"GET /incoming-call HTTP/1.1\r\nHost: localhost\r\n\r\n"
    sent = connection.receive_bytes(Peer.TWILIO, data, 0)[1]
    assert isinstance(sent, SendBytes)
    assert sent.data.startswith(b"HTTP/1.1 500 ")
    assert b"call_acceptor" in sent.data


@pytest.mark.parametrize("decision", [7, "Hello", Accept()])
def test_what_is_no_decision_is_named(decision: Any) -> None:
    with pytest.raises(LocalProtocolError, match=r"not a (int|str|Accept)"):
        decision_twiml(decision)


@each_runtime
def test_the_greeting_follows_the_configuration_of_the_call(runtime: str) -> None:
    session = SessionConfig(instructions="For a friend.")
    decided = CallConfig(url=LOCAL.url, session=session)
    agent, configs = Agent("For all.", greeting="Greet."), list[CallConfig | None]()

    @agent.incoming
    def decide(incoming: IncomingCall) -> Accept:
        return Accept(config=decided)

    @agent.on(CallStarted)
    def started(call: Call, event: CallStarted) -> None:
        configs.append(call.config)

    async def script(calls: Calls) -> None:
        await calls.call(await calls.request())

    calls = Calls(runtime, agent).run(script)
    assert [each and each.session.instructions for each in configs] == ["For a friend."]
    assert calls.parties.model.session["instructions"] == "For a friend."


def test_decisions_are_checked_when_they_are_made() -> None:
    with pytest.raises(LocalProtocolError, match=r"Accept\.agent is no agent, but a str"):
        Accept(agent=cast(Any, "sales"))
    with pytest.raises(LocalProtocolError, match="rejected or busy"):
        Reject(cast(Any, "asleep"))
    with pytest.raises(LocalProtocolError, match="absolute URL"):
        Redirect("example.com")
