"""The expected automatic requests: what the model is to respond to without a request by the
application."""

from attrs import define, field

from twilio_realtime_core.commands import AnswerApproval, SendFunctionOutput, SendMessage
from twilio_realtime_core.config.call import CallConfig
from twilio_realtime_core.notifications import (
    FunctionCallRequested,
    McpApprovalRequested,
    McpCallFinished,
)
from twilio_realtime_core.protocols.realtime import CreateItem

from ..received import ReceivedItemAdded, ReceivedOutputItemAdded, ReceivedOutputItemDone
from ..sent import SentItem
from .followups import ExpectedFollowups
from .request_queue import BY_SERVER, ExpectedQueue
from .uplink import ExpectedUplink

__all__ = ["ExpectedAutomaticRequests"]


@define(eq=False)
class ExpectedAutomaticRequests:
    """The one automatic request that messages, outputs of functions, answers of MCP servers and
    turns without a response cause. It is added to `_queue`."""

    _queue: ExpectedQueue
    _followups: ExpectedFollowups
    _uplink: ExpectedUplink
    _config: CallConfig
    _approval_count: int = field(init=False, default=0)
    _has_output_followup: bool = field(init=False, default=False)
    """A response was requested to outputs that are sent in this step."""

    def apply_input(self, event: object) -> None:
        """Apply a command that adds an item to which the model may have to respond, or an item
        that the server adds."""
        match event:
            case SendMessage(respond=respond):
                key = self._queue.add_message()
                if respond:
                    self.request(key)
            case CreateItem(item={"role": "user"} as item):
                self._queue.add_message(item.get("id"))
            case AnswerApproval(id_, approve):
                self._answer_approval(id_, is_approved=approve)
            case SendFunctionOutput(call_id, respond=True, wait_for_others=waits):
                self._followups.request(call_id, waits_for_others=waits)
            case ReceivedItemAdded(item):
                if (covered := self._queue.take_echo(item)) is not None:
                    self.request(covered)
            case ReceivedOutputItemAdded(id_, item) | ReceivedOutputItemDone(id_, item):
                self._followups.add_item(item.id, id_)
            case _:
                pass

    def _answer_approval(self, item_id: str, *, is_approved: bool) -> None:
        self._followups.answer_approval(item_id)
        self._approval_count += 1
        key = f"mcp-answer-{self._approval_count}"
        self._queue.add_item(key)
        if is_approved:  # the tool is called first
            self.request_followup(self._followups.response_of(item_id))
        else:
            self._request_mcp_followup(item_id, key)

    def apply_output(self, value: object) -> None:
        """Apply an output of a function that is sent, or a call that is notified."""
        match value:
            case SentItem(item={"type": "function_call_output", "call_id": str(call_id)}):
                response_id = self._followups.send_output(call_id)
                self._queue.add_item(call_id)
                is_first = not self._has_output_followup
                self._has_output_followup |= self.request_followup(response_id, count=int(is_first))
            case FunctionCallRequested(call_id=call_id, response_id=response_id):
                self._followups.add_call(call_id, response_id)
            case McpApprovalRequested(approval_request_id=id_):
                self._followups.add_approval(id_)
            case McpCallFinished(item_id=id_):  # the model does not continue by itself
                self._request_mcp_followup(id_)
            case _:
                pass

    def request(self, *keys: str, count: int = 1) -> None:
        """Request a response to the items `keys`."""
        self._queue.add_automatic(self._uplink.next_number, *keys, count=count)

    def request_followup(self, response_id: str, count: int = 1) -> bool:
        """Request a response to the outputs of a response, once that is done and all its calls
        have outputs; return whether it was requested. `count` is 0 if it is to the same outputs as
        the request before."""
        keys = self._followups.take_due(response_id)
        if keys is not None:
            self.request(*(keys or (BY_SERVER,)), count=count)
        return keys is not None

    def _request_mcp_followup(self, item_id: str, *keys: str) -> None:
        """Request a response to what an MCP server has done, or was not allowed to do."""
        if self._config.respond_to_mcp:
            self._followups.request_for_mcp(item_id, keys)
        self.request_followup(self._followups.response_of(item_id))

    def finish_step(self) -> None:
        """Reset what holds for one step only."""
        self._has_output_followup = False
