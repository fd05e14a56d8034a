"""Twilio on loopback: its REST API, phones that ring, TwiML that is followed, signed callbacks.

    async with PhoneNetwork(runtime).running() as network:
        async with serving(agent, **network.settings) as service:
            placed = await service.outgoing_calls.place(to=TO, from_=FROM)

A service under test reaches it by REST; it reaches the service by the webhook and the stream. The
model is simulated, and keeps the instructions of the responses that it is asked for.
"""

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import anyio
import httpx2
from anyio.abc import TaskGroup
from attrs import define, field

from driving import LINK, RUNTIMES, ignore, listening, run_in_real_time
from free_ports import free_port
from twilio_api_server import ACCOUNT, PASSWORD, ApiAnswer, ApiRequest, TwilioApiServer
from twilio_realtime.sim.model.pace import Pace
from twilio_realtime.sim.model.realtime_peer import CLIENT, RealtimePeer
from twilio_realtime.sim.model.replies import Reply, ReplyItem, ResponseRequest, SpokenReply
from twilio_realtime.sim.phone.twilio_peer import SERVER, TwilioPeer
from twilio_realtime_core import Action
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.transport.http import HttpConnection, HttpRequest, Upgrade
from twilio_realtime_core.transport.stack import Stack
from twilio_realtime_core.webhook import compute_signature

TO, FROM, THIRD = "+15005550006", "+15005550001", "+15005550009"
QUICK = Pace(first_spoken_item_ns=20 * MS, first_audio_ns=20 * MS)
ENVIRONMENT = {
    "OPENAI_API_KEY": "sk-test",
    "TWILIO_AUTH_TOKEN": PASSWORD,
    "TWILIO_ACCOUNT_SID": ACCOUNT,
}


@define(eq=False)
class PhoneLine:
    """One phone call, and its stream while there is one."""

    sid: str
    form: Mapping[str, str]
    network: "PhoneNetwork" = field(repr=False)
    sequence_number: int = 0
    streams: int = 0
    is_over: bool = False
    has_stream: anyio.Event = field(init=False, factory=anyio.Event)
    redirect: str | None = None
    """TwiML that the REST API was given, in place of the stream's."""
    _act: Callable[[Callable[[TwilioPeer, int], list[Action]]], None] | None = None

    async def report(self, state: str, **fields: str) -> None:
        """Report a state of the call to its status callback."""
        url = self.form.get("StatusCallback")
        fields |= {"CallStatus": state, "SequenceNumber": str(self.sequence_number)}
        self.sequence_number += 1
        if url is not None:
            await self.network.post(url, self.fields(**fields))

    def fields(self, **more: str) -> dict[str, str]:
        known = {"CallSid": self.sid, "AccountSid": ACCOUNT, "To": self.form["To"]}
        return known | {"From": self.form["From"], "CallStatus": "in-progress"} | more

    def hang_up(self) -> None:
        """The person hangs up, or the REST API ends the stream."""
        if self._act is not None:
            self._act(lambda phone, now: phone.hang_up(now))

    def press(self, digit: str) -> None:
        assert self._act is not None
        self._act(lambda phone, now: phone.press_key(digit, now))

    async def follow(self, twiml: str) -> None:
        """Do what TwiML says, until the call is over."""
        while twiml:
            self.network.twiml.append(twiml)
            verb, action = ElementTree.fromstring(twiml)[0], ""  # noqa: S314
            fields: dict[str, str] = {}
            match verb.tag:
                case "Connect":
                    await self._stream(verb)
                    if self.redirect is not None:
                        twiml, self.redirect = self.redirect, None
                        continue
                    action = verb.get("action", "")
                case "Dial":
                    self.network.dialled.append((verb[0].text or "", dict(verb.attrib)))
                    action = verb.get("action", "")
                    fields = {"DialCallStatus": self.network.dial_status}
                case "Say":
                    self.network.said.append(verb.text or "")
                case "Redirect":
                    action = verb.text or ""
                case _:
                    pass
            twiml = await self.network.post(action, self.fields(**fields)) if action else ""
        self.is_over = True

    async def _stream(self, connect: ElementTree.Element) -> None:
        stream = connect[0]
        url = stream.get("url", "")
        phone = TwilioPeer(url=url, call_sid=self.sid, account_sid=ACCOUNT, seed=self.streams)
        self.streams += 1
        signature = compute_signature(PASSWORD, url)
        link = LINK.__class__(
            max_message_bytes=1 << 24, headers=(("X-Twilio-Signature", signature),)
        )
        machine = Stack(phone, {SERVER: link}, os.urandom)
        driver = RUNTIMES[self.network.runtime].Driver(machine, ignore)

        def act(do: Callable[[TwilioPeer, int], list[Action]]) -> None:
            now = driver.now()
            driver.perform(machine.perform(do(phone, now), now))

        self._act = act
        self.network.phones.append(phone)
        self.has_stream.set()
        try:
            await driver.run()
        finally:
            self._act = None


def say(words: str, *more: ReplyItem) -> Reply:
    """Words of a fifth of a second, and what follows them."""
    return Reply((SpokenReply(b"\x10" * 1600, words), *more))


def run_network(network: "PhoneNetwork", use: Callable[["PhoneNetwork"], Awaitable[Any]]) -> Any:
    """Return what `use` returns, or raise what it raises."""

    async def main() -> tuple[Any, Exception | None]:
        async with network.running():
            try:
                return await use(network), None
            except Exception as error:
                return None, error

    result, failure = run_in_real_time(network.runtime, main)
    if failure is not None:
        raise failure
    return result


@define(eq=False)
class PhoneNetwork:
    """All of it. `outcome` is the state in which a call that is placed ends up; `in-progress` if it
    is answered. `answered_by` is reported for calls with machine detection."""

    runtime: str
    outcome: str = "in-progress"
    answered_by: str = "human"
    dial_status: str = "completed"
    words: str = "Hello, this is the agent."
    replies: list[Reply] = field(factory=list[Reply])
    """Of the model, in their order; then it says `words`."""
    port: int = field(init=False, factory=free_port)
    api: TwilioApiServer = field(init=False)
    lines: dict[str, PhoneLine] = field(init=False, factory=dict[str, PhoneLine])
    twiml: list[str] = field(init=False, factory=list[str])
    dialled: list[tuple[str, dict[str, str]]] = field(
        init=False, factory=list[tuple[str, dict[str, str]]]
    )
    said: list[str] = field(init=False, factory=list[str])
    phones: list[TwilioPeer] = field(init=False, factory=list[TwilioPeer])
    instructions: list[str] = field(init=False, factory=list[str])
    """Of the responses that the model was asked for."""
    statuses: list[int] = field(init=False, factory=list[int])
    """Of the service's answers to callbacks and webhooks."""
    on_answered: Callable[[PhoneLine], None] | None = None
    _model_url: str = field(init=False, default="")
    _tasks: TaskGroup | None = field(init=False, default=None)
    _numbers: "count[int]" = field(init=False, factory=lambda: count(1))

    def __attrs_post_init__(self) -> None:
        self.api = TwilioApiServer(self._answer)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["PhoneNetwork", None]:
        async with (
            self.api.serving(),
            listening(RUNTIMES[self.runtime], self._accept_model) as addresses,
            anyio.create_task_group() as tasks,
        ):
            self._model_url = f"ws://127.0.0.1:{addresses[0][1]}/v1/realtime"
            self._tasks = tasks
            yield self
            tasks.cancel_scope.cancel()

    @property
    def url(self) -> str:
        """The public URL of the service."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "port": self.port,
            "public_url": self.url,
            "realtime_url": self._model_url,
            "twilio_api_url": self.api.url,
        }

    @property
    def environment(self) -> dict[str, str]:
        """The same settings as environment variables, with the secrets."""
        prefix, settings = "TWILIO_REALTIME_", self.settings
        return ENVIRONMENT | {prefix + name.upper(): str(settings[name]) for name in settings}

    async def post(self, url: str, fields: Mapping[str, str]) -> str:
        """Send a signed form, as Twilio does."""
        url = url if "://" in url else self.url + url
        headers = {
            "X-Twilio-Signature": compute_signature(PASSWORD, url, fields.items()),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        async with httpx2.AsyncClient(trust_env=False) as http:
            answer = await http.post(url, content=urlencode(fields), headers=headers)
        self.statuses.append(answer.status_code)
        return answer.text if answer.status_code == 200 else ""

    async def call_in(self) -> PhoneLine:
        """Call the service as a caller would, until the call is over."""
        line = self._new_line({"To": FROM, "From": TO})
        await line.follow(await self.post("/incoming-call", line.fields(CallStatus="ringing")))
        return line

    @property
    def line(self) -> PhoneLine:
        """The only call."""
        (line,) = self.lines.values()
        return line

    async def wait_for_line(self) -> PhoneLine:
        """Return the only call, once it has a stream."""
        while not self.lines:
            await anyio.sleep(0.01)
        await self.line.has_stream.wait()
        return self.line

    def _new_line(self, form: Mapping[str, str]) -> PhoneLine:
        sid = f"CA{next(self._numbers):032x}"
        line = self.lines[sid] = PhoneLine(sid, form, self)
        return line

    async def _answer(self, request: ApiRequest) -> ApiAnswer:
        """Answer a request to the REST API."""
        assert request.credentials == f"{ACCOUNT}:{PASSWORD}"
        form, name = request.form, request.path.rpartition("/")[2]
        if name == "Calls.json":
            line = self._new_line(form)
            assert self._tasks is not None
            self._tasks.start_soon(self._ring, line)
            return ApiAnswer(201, {"sid": line.sid, "status": "queued"})
        if name == "Messages.json":
            return ApiAnswer(201, {"sid": "SM" + 32 * "3", "status": "queued"})
        if "Recordings" in request.path:
            return ApiAnswer(201, {"sid": "RE" + 32 * "2", "status": "in-progress"})
        line = self.lines[name.removesuffix(".json")]
        if line.is_over:
            return ApiAnswer(400, {"code": 21220, "message": "Call is not in-progress"})
        if request.method == "POST":
            line.redirect = form.get("Twiml") or (
                f"<Response><Redirect>{form['Url']}</Redirect></Response>" if "Url" in form else ""
            )
            line.hang_up()
        return ApiAnswer(200, {"sid": line.sid, "status": "in-progress"})

    async def _ring(self, line: PhoneLine) -> None:
        """Ring, and be answered or not."""
        for state in ("initiated", "ringing", self.outcome):
            await line.report(state)
        if self.outcome != "in-progress":
            line.is_over = True
            return
        twiml = await self.post(line.form["Url"], line.fields())
        async with anyio.create_task_group() as tasks:
            if "AsyncAmdStatusCallback" in line.form:
                tasks.start_soon(self._detect, line)
            await line.follow(twiml)
        await line.report("completed", CallDuration="3")

    async def _detect(self, line: PhoneLine) -> None:
        await line.has_stream.wait()
        await self.post(
            line.form["AsyncAmdStatusCallback"],
            line.fields(AnsweredBy=self.answered_by, MachineDetectionDuration="2100"),
        )

    def _accept_model(self) -> tuple[Any, Hashable]:
        def reply(request: ResponseRequest) -> Reply:
            self.instructions.append(str(request.params.get("instructions", "")))
            return self.replies.pop(0) if self.replies else say(self.words)

        def respond(request: HttpRequest) -> Upgrade:
            del request
            peer = RealtimePeer(reply, seed=1, pace=QUICK)
            return Upgrade(peer, CLIENT, {CLIENT: LINK})

        machine = HttpConnection(CLIENT, respond, os.urandom)
        return RUNTIMES[self.runtime].Driver(machine, ignore), CLIENT
