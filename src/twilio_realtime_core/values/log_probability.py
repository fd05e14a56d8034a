"""How probable the tokens of a transcript are.

Source: OpenAI API reference, "Realtime", `conversation.item.input_audio_transcription.completed`,
`logprobs`, https://platform.openai.com/docs/api-reference/realtime-server-events, read 2026-11-30.
"""

from typing import Any

from attrs import field, frozen

__all__ = ["TokenLogprob", "logprobs_from_json"]


@frozen
class TokenLogprob:
    """A token of a transcript, and the natural logarithm of its probability."""

    token: str = field(repr=False)
    logprob: float


def logprobs_from_json(data: Any) -> tuple[TokenLogprob, ...] | None:
    """Return the tokens that `logprobs` describes; `None` if it is not a list.

    An entry without a token or a number is left out.
    """
    match data:
        case [*entries]:
            pass
        case _:
            return None
    tokens: list[TokenLogprob] = []
    for entry in entries:
        match entry:
            case {"token": str(token), "logprob": int() | float() as logprob} if not isinstance(
                logprob, bool
            ):
                tokens.append(TokenLogprob(token, float(logprob)))
            case _:
                pass
    return tuple(tokens)
