"""The model of a simulated call: its responses, as a test writes them."""

import json
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, cast

from attrs import define, field, frozen

from twilio_realtime_core.errors import LocalProtocolError

from ..sim.model.conversation import StoredItem
from ..sim.model.realtime_peer import RealtimePeer, SentError
from ..sim.model.replies import (
    FunctionCallReply,
    Reply,
    ReplyItem,
    ResponseRequest,
    SpokenReply,
    TextReply,
)
from ..sim.scenarios.voices import agent_voice, caller_voice
from .phone import BYTES_PER_MS

__all__ = [
    "WORD_MS",
    "HeardSpeech",
    "ScriptedModel",
    "ScriptedResponse",
    "agent_speech",
    "caller_speech",
    "function_call",
]

WORD_MS: Final = 300
"""The duration of a spoken word."""

_FIRST_VOICE_SEED: Final = 10_000
"""Seeds of the voices in which words are spoken, one for each speech. Lower seeds are left to
tests."""


@frozen
class HeardSpeech:
    """The speech of one item of the agent: how much of it was heard, how much the model generated,
    and the words that were heard to their end."""

    item_id: str
    heard_ms: int
    generated_ms: int
    words: str


ScriptedResponse: TypeAlias = (
    "str | ReplyItem | Reply | Sequence[str | ReplyItem] | ResponseFunction"
)
"""One response of the model: words or an item, a sequence of both, a `Reply`, or a function that
returns one of these when the response is requested."""

ResponseFunction: TypeAlias = Callable[[ResponseRequest], "ScriptedResponse"]


def function_call(name: str, /, **arguments: Any) -> FunctionCallReply:
    """Return an item by which the model calls a function."""
    return FunctionCallReply(name, json.dumps(arguments))


def caller_speech(words: str) -> bytes:
    """Return the audio of `words` spoken by the caller."""
    return caller_voice(WORD_MS * len(words.split()))


def agent_speech(words: str, seed: int) -> SpokenReply:
    """Return the speech of `words` by the model. The audio differs by seed."""
    return SpokenReply(agent_voice(WORD_MS * len(words.split()), seed), words)


@define(eq=False)
class ScriptedModel:
    """The model of a simulated call: its responses, and what it received."""

    _responses: deque[ScriptedResponse] = field(init=False, factory=deque[ScriptedResponse])
    _speeches: list[SpokenReply] = field(init=False, factory=list[SpokenReply])
    peer: RealtimePeer | None = field(init=False, default=None)
    """The server, once the call has started."""

    def respond_with(self, *responses: ScriptedResponse) -> None:
        """Add the next responses, after those added before. Words are spoken, 300 ms each. After
        the last one, responses are empty.

        Raises `LocalProtocolError` for what is not a `ScriptedResponse`. The result of a function
        is checked when the response is requested, and fails the test.
        """
        for response in responses:
            _check_response(response)
        self._responses += responses

    @property
    def conversation(self) -> list[StoredItem]:
        """All items of the conversation, of both sides, as the server has them. (`Call.items` of
        the agent is the bridge's view.)"""
        return [] if self.peer is None else self.peer.conversation

    @property
    def function_outputs(self) -> list[str]:
        """The outputs of functions, in the order in which the model received them."""
        return [
            str(item.fields["output"])
            for item in self.conversation
            if item.type == "function_call_output"
        ]

    @property
    def errors(self) -> list[SentError]:
        """Every `error` that the server sent."""
        return [] if self.peer is None else self.peer.sent_errors

    # For the call.

    def take_reply(self, request: ResponseRequest) -> Reply:
        """Remove the next response, and return it as a reply of the server."""
        response = self._responses.popleft() if self._responses else Reply()
        while callable(response):
            response = response(request)
            _check_response(response)
        if isinstance(response, Reply):
            self._speeches += [item for item in response.items if isinstance(item, SpokenReply)]
            return response
        if isinstance(response, Sequence) and not isinstance(response, str):
            return Reply(tuple(map(self._make_item, response)))
        return Reply((self._make_item(response),))

    def _make_item(self, item: str | ReplyItem) -> ReplyItem:
        if isinstance(item, str):
            item = agent_speech(item, _FIRST_VOICE_SEED + len(self._speeches))
        if isinstance(item, SpokenReply):
            self._speeches.append(item)
        return item

    def heard_speech(self, item_id: str, generated: bytes, heard_ms: int) -> HeardSpeech:
        """Return what was heard of an item, given its audio and how much of it was heard. All words
        of an item are taken to be of the same length."""
        for speech in self._speeches:
            size = min(len(generated), len(speech.audio))
            if generated[:size] == speech.audio[:size]:
                words, generated_ms = speech.transcript.split(), len(speech.audio) // BYTES_PER_MS
                count = len(words) * heard_ms // generated_ms if generated_ms else 0
                return HeardSpeech(item_id, heard_ms, generated_ms, " ".join(words[:count]))
        return HeardSpeech(item_id, heard_ms, len(generated) // BYTES_PER_MS, "")


def _check_response(response: object) -> None:
    if not _is_response(response):
        raise LocalProtocolError(
            "a response is words, an item (`SpokenReply`, `TextReply`, `function_call(...)`), a "
            "list of both, a `Reply` of items, or a function that returns one of these: "
            f"a {type(response).__name__} is not"
        )


def _is_response(response: object) -> bool:
    match response:
        case str() | SpokenReply() | TextReply() | FunctionCallReply():
            return True
        case Reply(items):
            return all(isinstance(each, ReplyItem) for each in tuple[object, ...](items))
        case Sequence():
            return all(
                isinstance(each, str | ReplyItem) for each in cast("Sequence[object]", response)
            )
        case _:
            return callable(response)
