"""An interruption of one response."""

import pytest

from calling import Call, created, delta, item_done, response_done
from twilio_realtime_core import Interrupt
from twilio_realtime_core.notifications import Interrupted
from twilio_realtime_core.protocols.realtime import CancelResponse, CreateResponse, TruncateItem
from twilio_realtime_core.protocols.twilio import Clear


def test_a_response_that_is_generated_and_heard_is_interrupted() -> None:
    call = Call.talking(8000)
    call.play(500)
    done = call.send(Interrupt(response_id="r"))
    assert len(done.notified(Interrupted)) == 1
    assert any(isinstance(each, Clear) for each in done.to_twilio)
    assert [type(each) for each in done.to_model] == [CancelResponse, TruncateItem]


def test_a_response_that_is_only_heard_is_interrupted() -> None:
    call = Call.talking(8000)
    call.model(item_done())
    call.model(response_done())
    call.play(500)
    assert len(call.send(Interrupt(response_id="r")).notified(Interrupted)) == 1


def test_a_response_without_sound_yet_is_interrupted() -> None:
    call = Call.ready()
    call.model(created())
    assert len(call.send(Interrupt(response_id="r")).notified(Interrupted)) == 1
    assert call.model(delta(800)).to_twilio == []


@pytest.mark.parametrize("response_id", ["r", "unknown"])
def test_a_late_interruption_leaves_the_next_response_alone(response_id: str) -> None:
    call = Call.talking(800)
    call.model(item_done())
    call.model(response_done())
    call.play(1000)
    call.model(created("r2"))
    call.model(delta(8000, "r2", "j"))
    assert call.send(Interrupt(response_id=response_id)).actions == []
    assert call.model(delta(8000, "r2", "j")).audio_samples != []


def test_a_response_without_an_id_is_interrupted_by_its_empty_id() -> None:
    call = Call.ready()
    call.model(created(""))
    assert len(call.send(Interrupt(response_id="")).notified(Interrupted)) == 1
    assert call.send(Interrupt(response_id="")).actions == []


def test_text_out_of_band_names_nothing_that_is_heard() -> None:
    call = Call.talking(8000)
    silent = {"id": "o", "conversation_id": None, "output_modalities": ["text"]}
    call.model(type="response.created", response=silent)
    assert call.send(Interrupt(response_id="o")).actions == []
    assert call.model(delta(8000)).audio_samples != []


def test_a_response_is_interrupted_once() -> None:
    call = Call.talking(8000)
    call.play(100)
    call.send(Interrupt(response_id="r"))
    assert call.send(Interrupt(response_id="r")).actions == []


def test_a_response_that_is_requested_is_left_alone() -> None:
    call = Call.talking(800)
    call.model(item_done())
    call.model(response_done())
    (request,) = call.send(CreateResponse()).to_model
    assert isinstance(request, CreateResponse)
    call.send(Interrupt(response_id="r"))
    assert call.model(created("r2")).to_model == []
    assert call.model(delta(800, "r2", "j")).audio_samples != []
