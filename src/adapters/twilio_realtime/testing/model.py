"""The model's part in a test: what it will say, as a test writes it down."""

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
from .handset import BYTES_A_MS

__all__ = [
    "WORD_MS",
    "Answer",
    "Model",
    "Said",
    "function_call",
    "spoken_by_agent",
    "spoken_by_caller",
]

WORD_MS: Final = 300
"""How long a word of text takes to say."""

_ANY_RESPONSES: Final = 10_000
"""Voices that are told apart: more responses than an hour has."""


@frozen
class Said:
    """One item of the agent: how much of it was heard, of how much that the model made; and the
    words heard, those that were heard to their end."""

    item_id: str
    ms: int
    of_ms: int
    words: str


Answer: TypeAlias = "str | ReplyItem | Reply | Sequence[str | ReplyItem] | Decide"
"""One response: words or an item, several of them, or a whole `Reply`; or a function that is asked
for one when its turn has come."""

Decide: TypeAlias = Callable[[ResponseRequest], "Answer"]


def function_call(name: str, /, **arguments: Any) -> FunctionCallReply:
    """The model calls a function."""
    return FunctionCallReply(name, json.dumps(arguments))


def spoken_by_caller(words: str) -> bytes:
    """What `words` of a caller sound like."""
    return caller_voice(WORD_MS * len(words.split()))


def spoken_by_agent(words: str, seed: int) -> SpokenReply:
    """`words` said by the model. Those of two seeds sound different."""
    return SpokenReply(agent_voice(WORD_MS * len(words.split()), seed), words)


@define(eq=False)
class Model:
    """What the model will say, and what came of it."""

    _answers: deque[Answer] = field(init=False, factory=deque[Answer])
    _speeches: list[SpokenReply] = field(init=False, factory=list[SpokenReply])
    peer: RealtimePeer | None = field(init=False, default=None)
    """The server, once the call has begun."""

    def replies(self, *answers: Answer) -> None:
        """The next responses, one after the other, behind those given before. Words are spoken,
        300 ms each. When there are none left, a response is empty.

        `LocalProtocolError`: one of them is no `Answer`. What a function makes is looked at when
        its turn has come, and ends the test."""
        for answer in answers:
            _check(answer)
        self._answers += answers

    @property
    def conversation(self) -> list[StoredItem]:
        """All items of the conversation, of both sides, as the server knows them: not those of the
        core, which agents have (`Call.items`)."""
        return [] if self.peer is None else self.peer.conversation

    @property
    def outputs(self) -> list[str]:
        """What functions gave, in the order in which the model was told."""
        return [
            str(item.fields["output"])
            for item in self.conversation
            if item.type == "function_call_output"
        ]

    @property
    def complaints(self) -> list[SentError]:
        """Every error that the server answered."""
        return [] if self.peer is None else self.peer.sent_errors

    # For the call.

    def reply_to(self, request: ResponseRequest) -> Reply:
        """The next response."""
        answer = self._answers.popleft() if self._answers else Reply()
        while callable(answer):
            answer = answer(request)
            _check(answer)
        if isinstance(answer, Reply):
            self._speeches += [item for item in answer.items if isinstance(item, SpokenReply)]
            return answer
        if isinstance(answer, Sequence) and not isinstance(answer, str):
            return Reply(tuple(map(self._item, answer)))
        return Reply((self._item(answer),))

    def _item(self, item: str | ReplyItem) -> ReplyItem:
        if isinstance(item, str):
            item = spoken_by_agent(item, _ANY_RESPONSES + len(self._speeches))
        if isinstance(item, SpokenReply):
            self._speeches.append(item)
        return item

    def said(self, item_id: str, made: bytes, ms: int) -> Said:
        """An item of which `made` is the audio, and `ms` were heard. A word is taken to lie where
        it does if all of them take as long."""
        for speech in self._speeches:
            size = min(len(made), len(speech.audio))
            if made[:size] == speech.audio[:size]:
                words, of_ms = speech.transcript.split(), len(speech.audio) // BYTES_A_MS
                count = len(words) * ms // of_ms if of_ms else 0
                return Said(item_id, ms, of_ms, " ".join(words[:count]))
        return Said(item_id, ms, len(made) // BYTES_A_MS, "")


def _check(answer: object) -> None:
    if not _is_answer(answer):
        raise LocalProtocolError(
            "a response is words, an item (`Speech`, `Text`, `function_call(...)`), a list of "
            "both, a `Reply` of items, or a function that makes one of these: "
            f"there is a {type(answer).__name__} that is no such thing"
        )


def _is_answer(answer: object) -> bool:
    match answer:
        case str() | SpokenReply() | TextReply() | FunctionCallReply():
            return True
        case Reply(items):
            return all(isinstance(each, ReplyItem) for each in tuple[object, ...](items))
        case Sequence():
            return all(
                isinstance(each, str | ReplyItem) for each in cast("Sequence[object]", answer)
            )
        case _:
            return callable(answer)
