"""The responses that are to follow the outcomes of calls: outputs of functions, and what MCP
servers have done or were not allowed to do."""

from collections.abc import Sequence

from attrs import define, field

from ..limits import ANSWER_NS

__all__ = ["ExpectedFollowups"]


@define(eq=False)
class ExpectedFollowups:
    """The calls that responses have made, and what is known of their outcomes."""

    done: set[str] = field(init=False, factory=set[str])
    """Responses that are done."""
    lost: set[str] = field(init=False, factory=set[str])
    """Responses of which nothing more is expected, though they are not done."""
    _progress_ns: dict[str, int] = field(init=False, factory=dict[str, int])
    """By response that is being generated, when something of it was received."""
    _response_of_call: dict[str, str] = field(init=False, factory=dict[str, str])
    _answered_calls: set[str] = field(init=False, factory=set[str])
    """Function calls whose output was sent."""
    _calls_with_followup: set[str] = field(init=False, factory=set[str])
    """Function calls after whose output the model is to respond."""
    _urgent_calls: set[str] = field(init=False, factory=set[str])
    """Function calls after whose output the model is to respond without the outputs of others."""
    _mcp_followups: dict[str, tuple[str, ...]] = field(
        init=False, factory=dict[str, tuple[str, ...]]
    )
    """Responses after which the model is to respond, because of a tool of an MCP server, and the
    items of ours that it is to respond to."""
    _response_of_item: dict[str, str] = field(init=False, factory=dict[str, str])
    _open_approvals: set[str] = field(init=False, factory=set[str])
    """Requests for approval without an answer."""

    # Responses.

    def start(self, response_id: str, now: int) -> None:
        """Note that a response has started: more is expected of it, though it was lost before."""
        self.lost.discard(response_id)
        self.progress(response_id, now)

    def progress(self, response_id: str, now: int) -> None:
        """Note that something of a response was received."""
        if response_id and response_id not in self.done | self.lost:
            self._progress_ns[response_id] = now

    def end(self, response_id: str) -> None:
        """Note that a response is done."""
        self.done.add(response_id)
        self._progress_ns.pop(response_id, None)

    def lose(self, *response_ids: str) -> None:
        """Expect nothing more of responses."""
        for each in response_ids:
            self.lost.add(each)
            self._progress_ns.pop(each, None)

    def generating(self) -> list[str]:
        """Return the responses of which more is expected."""
        return list(self._progress_ns)

    def take_expired(self, now: int) -> list[str]:
        """Return the responses of which nothing was received for too long, which are lost now."""
        expired = [id_ for id_, at_ns in self._progress_ns.items() if now >= at_ns + ANSWER_NS]
        self.lose(*expired)
        return expired

    # Calls.

    def add_item(self, item_id: str, response_id: str) -> None:
        """Add an item of a response, which may be a call or a request for approval."""
        self._response_of_item.setdefault(item_id, response_id)

    def add_call(self, call_id: str, response_id: str) -> None:
        """Add a function call of a response."""
        self._response_of_call[call_id] = response_id

    def add_approval(self, item_id: str) -> None:
        """Add a request for approval."""
        self._open_approvals.add(item_id)

    def request(self, call_id: str, *, waits_for_others: bool) -> None:
        """Have the model respond to the output of a function call."""
        self._calls_with_followup.add(call_id)
        if not waits_for_others:
            self._urgent_calls.add(call_id)

    def response_of(self, item_id: str) -> str:
        """Return the response of an item; empty if it is not known."""
        return self._response_of_item.get(item_id, "")

    def answer_approval(self, item_id: str) -> None:
        """Note an answer to a request for approval."""
        self._open_approvals.discard(item_id)

    def request_for_mcp(self, item_id: str, keys: Sequence[str]) -> None:
        """Have the model respond to what a tool of an MCP server has done, above all to the items
        `keys`."""
        response_id = self.response_of(item_id)
        before = self._mcp_followups.get(response_id, ())
        self._mcp_followups[response_id] = (*before, *keys)

    def send_output(self, call_id: str) -> str:
        """Note that an output is sent; return the response that has made the call."""
        self._answered_calls.add(call_id)
        return self._response_of_call.get(call_id, "")

    def take_due(self, response_id: str) -> tuple[str, ...] | None:
        """Return the items to which the model is to respond now, and forget them: those of a
        response that is done, once all its calls have outputs; `None` if it is not to."""
        is_done = not response_id or response_id in self.done | self.lost
        if not is_done or not self._has_outcomes(response_id):
            return None
        answered = self._calls_of(response_id) & self._answered_calls
        due_calls = sorted(answered & self._calls_with_followup)
        self._calls_with_followup -= answered
        self._urgent_calls -= answered
        return (*due_calls, *self._mcp_followups.pop(response_id, ()))

    def awaiting_end(self) -> list[str]:
        """Return the responses whose calls have outcomes to which the model is to respond, once
        they are done."""
        return [each for each in self._progress_ns if self._has_outcomes(each)]

    def _calls_of(self, response_id: str) -> set[str]:
        return {call for call, each in self._response_of_call.items() if each == response_id}

    def _has_outcomes(self, response_id: str) -> bool:
        """Whether the model is to respond to outcomes of a response, and none is missing that these
        wait for."""
        calls = self._calls_of(response_id)
        answered = calls & self._answered_calls
        if not (answered & self._calls_with_followup or response_id in self._mcp_followups):
            return False
        is_complete = calls <= answered and self._is_approved(response_id)
        return is_complete or bool(answered & self._urgent_calls)

    def _is_approved(self, response_id: str) -> bool:
        asked = (self._response_of_item.get(each) for each in self._open_approvals)
        return response_id not in asked
