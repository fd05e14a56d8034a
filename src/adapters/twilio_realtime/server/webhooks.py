"""The answers to Twilio's webhooks: the TwiML of what was decided about a call."""

import inspect
from collections.abc import Callable
from functools import partial
from logging import WARNING
from typing import Any, Final

from attrs import frozen

from twilio_realtime_core import LocalProtocolError
from twilio_realtime_core.transport.http import HttpResponse
from twilio_realtime_core.webhook import HANG_UP_TWIML, connect_stream_twiml, stream_url

from ..agents.call import CallHandler
from ..agents.call_setup import CallSetup
from ..agents.decisions import (
    Accept,
    Decision,
    PendingAnswer,
    StreamEnd,
    decision_twiml,
)
from ..agents.hooks import find_hooks
from ..agents.incoming_call import IncomingCall
from ..errors import UsageError
from .admission import Admission
from .call_controls import CallControls
from .callbacks import STREAM_STATUS_PATH
from .event_log import EventLog
from .outgoing_calls import OutgoingCalls
from .request_guard import WebhookRequest
from .routes import AFTER_STREAM_PATH
from .service_config import ServiceConfig
from .spending import Spending
from .stream_tokens import TokenFault
from .streams import Streams, refuse_config

__all__ = ["Webhooks"]

_ANSWERED: Final = ("completed", "answered")
"""The states of a transfer that was answered (`DialCallStatus`)."""

_BUSY_TWIML: Final = (
    '<?xml version="1.0" encoding="UTF-8"?><Response><Reject reason="busy"/></Response>'
)
"""The answer to a call that is not taken: the caller hears a busy signal, at no cost (Twilio,
"TwiML Voice: <Reject>", https://www.twilio.com/docs/voice/twiml/reject)."""


@frozen(eq=False)
class Webhooks:
    """Answers Twilio's requests about calls, which the service has checked.

    Each method returns the answer, or the decision that the agent has to make before. `on_refused`
    is called for each call that hears a busy signal.
    """

    _config: ServiceConfig
    _streams: Streams
    _admission: Admission
    _spending: Spending
    _controls: CallControls
    _outgoing_calls: OutgoingCalls
    _event_log: EventLog
    _on_refused: Callable[[], None]

    def answer_incoming(
        self, webhook: WebhookRequest, agent: CallHandler | None
    ) -> HttpResponse | PendingAnswer:
        """Answer an incoming call."""
        incoming = IncomingCall.from_parameters(webhook.parameters)
        reason = (
            self._admission.find_refusal()
            or self._spending.find_refusal()
            or self._spending.admit_caller(incoming.from_)
        )
        if reason is not None:
            return self._answer_busy(reason)
        handler = find_hooks(agent).incoming_handler
        carry_out = self._carry_out_for(webhook, incoming, agent)
        if handler is None:
            return carry_out(Accept())
        return PendingAnswer(partial(_decide, handler, incoming, Accept(), carry_out))

    def answer_after_stream(
        self, webhook: WebhookRequest, agent: CallHandler | None
    ) -> HttpResponse | PendingAnswer:
        """Answer how a call continues after its stream."""
        incoming = IncomingCall.from_parameters(webhook.parameters)
        setup = self._streams.take_setup(incoming.call_sid)
        if setup is not None:
            agent = setup.agent
        carry_out = self._carry_out_for(webhook, incoming, agent)
        decided = self._controls.after_stream.pop(incoming.call_sid)
        if decided is not None:
            return carry_out(decided)
        handler = find_hooks(agent).after_stream_handler
        if handler is None:
            return _twiml(HANG_UP_TWIML)
        end = StreamEnd(None, incoming)
        if setup is not None:
            end = StreamEnd(setup.ended, incoming, setup.parameters)
        return PendingAnswer(partial(_decide, handler, end, None, carry_out))

    def answer_after_dial(self, webhook: WebhookRequest, agent: CallHandler | None) -> HttpResponse:
        """Answer how a call continues after a transfer: if it was not answered, as was decided."""
        incoming = IncomingCall.from_parameters(webhook.parameters)
        decided = self._controls.after_dial.pop(incoming.call_sid)
        if decided is None or incoming.parameters.get("DialCallStatus") in _ANSWERED:
            return _twiml(HANG_UP_TWIML)
        return self._carry_out_for(webhook, incoming, agent)(decided)

    def answer_outgoing(
        self, webhook: WebhookRequest, agent: CallHandler | None, token: str
    ) -> HttpResponse:
        """Answer that a placed call was answered: connect it to its agent, once."""
        plan = self._outgoing_calls.take_plan(token)
        if isinstance(plan, TokenFault):
            return HttpResponse(403, f"the call is refused: {plan.value}\n".encode())
        incoming = IncomingCall.from_parameters(webhook.parameters)
        carry_out = self._carry_out_for(webhook, incoming, agent)
        return carry_out(plan.accept, detects_machines=plan.detects_machines)

    def _carry_out_for(
        self, webhook: WebhookRequest, incoming: IncomingCall, agent: CallHandler | None
    ) -> "partial[HttpResponse]":
        """Return what carries out a decision about a call."""
        return partial(self._carry_out, agent=agent, incoming=incoming, base_url=webhook.base_url)

    def _carry_out(
        self,
        decision: Decision | None,
        *,
        agent: CallHandler | None,
        incoming: IncomingCall,
        base_url: str,
        detects_machines: bool = False,
    ) -> HttpResponse:
        """Return the TwiML of a decision. Raises `LocalProtocolError` if it is none."""
        if not isinstance(decision, Accept):
            return _twiml(decision_twiml(decision))
        chosen = agent if decision.agent is None else decision.agent
        try:
            config = self._streams.resolve(chosen, decision.config)
        except (LocalProtocolError, UsageError) as error:
            return refuse_config(error)
        setup = CallSetup(chosen, config, incoming, decision.parameters)
        setup.control = self._controls.make(base_url, detects_machines=detects_machines)
        return self._connect(setup, base_url)

    def _connect(self, setup: CallSetup, base_url: str) -> HttpResponse:
        """Return the TwiML that connects a call to a new stream."""
        reason = self._admission.reserve()
        if reason is not None:
            return self._answer_busy(reason)
        is_asked = self._streams.asks_after_stream(setup.agent)
        document = connect_stream_twiml(
            stream_url(base_url, self._streams.announce(setup, base_url)),
            self._config.parameters,
            action=base_url + AFTER_STREAM_PATH if is_asked else None,
            status_callback=base_url + STREAM_STATUS_PATH if self._config.stream_status else None,
        )
        return _twiml(document)

    def _answer_busy(self, reason: str) -> HttpResponse:
        self._event_log.write(WARNING, "call.refused", {"reason": reason}, like=reason)
        self._on_refused()
        return _twiml(_BUSY_TWIML)


async def _decide(
    handler: Callable[[Any], Any],
    question: object,
    default: Accept | None,
    carry_out: Callable[[Decision | None], HttpResponse],
) -> HttpResponse:
    """Ask a handler of the application, sync or async, and carry out what it decides."""
    decision = handler(question)
    if inspect.isawaitable(decision):
        decision = await decision
    return carry_out(default if decision is None else decision)


def _twiml(document: str) -> HttpResponse:
    return HttpResponse(200, document.encode(), content_type="text/xml")
