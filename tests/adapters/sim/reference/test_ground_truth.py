"""A call is judged at its end by what the phone has played and what the model remembers."""

import re
from base64 import b64encode
from collections.abc import Callable, Hashable

import attrs
import pytest
from attrs import define

from twilio_realtime.sim.batch.random_call import RandomCall
from twilio_realtime.sim.choices import Choices
from twilio_realtime.sim.impairments.plan import ImpairmentPlan, LinkCut
from twilio_realtime.sim.impairments.protocol_rules import StreamRestart
from twilio_realtime.sim.impairments.rules import Drop
from twilio_realtime.sim.impairments.table import draw_impairments
from twilio_realtime.sim.model.conversation import StoredItem
from twilio_realtime.sim.model.pace import Pace
from twilio_realtime.sim.model.realtime_peer import RealtimePeer, SentError
from twilio_realtime.sim.model.replies import Reply, SpokenReply, TextReply
from twilio_realtime.sim.phone.caller import CallerHangsUp as Leave
from twilio_realtime.sim.phone.caller import CallerPressesKey, WhenAgentQuiet
from twilio_realtime.sim.phone.twilio_peer import (
    SERVER,
    CueStarted,
    PhoneDisconnected,
    StreamWarning,
    TwilioPeer,
)
from twilio_realtime.sim.reference.ground_truth import GroundTruth, Wrong, belief_bound_ns
from twilio_realtime.sim.scenarios.table import SCENARIOS
from twilio_realtime.sim.scenarios.voices import agent_voice
from twilio_realtime_core import Action, Bridge, CallConfig, Send
from twilio_realtime_core.audio.dtmf import key_tones
from twilio_realtime_core.commands import (
    Command,
    HangUp,
    Interrupt,
    Play,
    PressKeys,
    ResetHistory,
    SendAudio,
    SendEvent,
)
from twilio_realtime_core.config.start_delay_history import StartDelayHistory
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.protocols.realtime import (
    CancelResponse,
    DeleteItem,
    TruncateItem,
    UpdateSession,
)

Change = Callable[[ImpairmentPlan], object]


def plainest() -> Choices:
    return Choices.from_source(lambda _, low, __: low)


def trouble_of(*changes: Change) -> ImpairmentPlan:
    trouble = draw_impairments(plainest())
    for change in changes:
        change(trouble)
    return trouble


class Scene:
    """A phone that plays what it is sent, and a model of which only the memory is used."""

    def __init__(self, *changes: Change, config: CallConfig | None = None) -> None:
        self.truth = GroundTruth(trouble_of(*changes), config or CallConfig())
        self.phone = TwilioPeer(stream_sid="MZ1")
        self.phone.start(0)
        self.phone.opened(SERVER, 0)
        self.model = RealtimePeer([Reply()])
        self.now = 0

    def says(self, ms: int, *, generated_ms: int | None = None, inside: bool = True) -> "Said":
        """The model says something, and all of it or less is generated."""
        speech = SpokenReply(agent_voice(ms), "")
        reply = self.truth.assign_voices(Reply((speech,)), self.now)
        (said,) = reply.items
        assert isinstance(said, SpokenReply)
        generated = ms if generated_ms is None else generated_ms
        item = StoredItem(
            {"id": f"item_{len(self.model.conversation)}", "type": "message"},
            content=[{"type": "output_audio", "transcript": ""}],
            audio=bytearray(said.audio[: 8 * generated]),
            generated_ms=generated,
        )
        if inside:
            self.model.conversation.append(item)
        return Said(item, said.audio)

    def plays(self, audio: bytes, ms: int) -> None:
        """The phone receives audio, and some time passes."""
        payload = b64encode(audio).decode()
        self._tell(f'{{"event":"media","streamSid":"MZ1","media":{{"payload":"{payload}"}}}}')
        self.now += ms * MS

    def clears(self) -> None:
        self._tell('{"event":"clear","streamSid":"MZ1"}')

    def _tell(self, text: str) -> None:
        self.phone.receive_text(SERVER, text, self.now)

    def ends(self, after_ms: int = 3000) -> Wrong | None:
        """Nothing happens for a while, and the call is over."""
        self.now += after_ms * MS
        self.truth.on_notification(
            "phone", PhoneDisconnected(caller_hung_up=False, code=1000, reason=""), self.now
        )
        return self.truth.judge(self.phone, [self.model], self.now)


@define
class Said:
    item: StoredItem
    audio: bytes


def cut(*changes: Change, config: CallConfig | None = None, believed_ms: int = 300) -> Wrong | None:
    """Judge a call in which 300 ms of a second were heard, and more or less is believed."""
    scene = Scene(*changes, config=config)
    said = scene.says(1000)
    scene.plays(said.audio, 300)
    scene.clears()
    said.item.truncate(believed_ms)
    return scene.ends()


# What the model remembers.


def apart(heard_ms: int, believed_ms: int) -> Wrong:
    return 4, (
        f"the caller has heard {heard_ms} ms of an item, and the model believes {believed_ms} ms, "
        "where no more than 2 ms are uncertain"
    )


@pytest.mark.parametrize("name", sorted(SCENARIOS)[:8])
def test_a_correct_bridge_passes(name: str) -> None:
    assert RandomCall(plainest(), name).run() is None


def test_a_belief_may_be_off_by_two_milliseconds() -> None:
    assert cut() is None
    assert cut(believed_ms=298) is None
    assert cut(believed_ms=302) is None


@pytest.mark.parametrize("believed_ms", [297, 303, 1000])
def test_a_belief_that_is_further_off_is_found(believed_ms: int) -> None:
    assert cut(believed_ms=believed_ms) == apart(300, believed_ms)


def test_a_heard_item_that_is_deleted_is_found() -> None:
    scene = Scene()
    said = scene.says(1000)
    scene.plays(said.audio, 300)
    scene.clears()
    said.item.is_deleted = True
    assert scene.ends() == apart(300, 0)


def after_an_item_unheard(change: Callable[[StoredItem], object]) -> Wrong | None:
    """Judge a call in which the second item was heard, and the first was not."""
    scene = Scene()
    first, second = scene.says(1000), scene.says(500)
    change(first.item)
    scene.plays(second.audio, 500)
    return scene.ends()


def stay(_: StoredItem) -> None:
    pass


def delete(item: StoredItem) -> None:
    item.is_deleted = True


def truncate_at_0(item: StoredItem) -> None:
    item.truncate(0)


def never_begin(item: StoredItem) -> None:
    item.audio.clear()
    item.generated_ms = 0


def test_an_unheard_item_has_to_be_deleted() -> None:
    assert after_an_item_unheard(delete) is None
    assert after_an_item_unheard(stay) == apart(0, 1000)


@pytest.mark.parametrize("change", [truncate_at_0, never_begin])
def test_an_unheard_item_without_audio_is_found(
    change: Callable[[StoredItem], object],
) -> None:
    assert after_an_item_unheard(change) == (
        4,
        "the model still has an item of which the caller has heard nothing",
    )


def test_an_item_cancelled_by_a_command_may_stay() -> None:
    scene = Scene()
    first, second = scene.says(1000), scene.says(500)
    never_begin(first.item)
    scene.truth.on_command(SendEvent(CancelResponse()), 0)
    scene.plays(second.audio, 500)
    assert scene.ends() is None


def test_audio_that_plays_at_the_end_is_not_judged() -> None:
    scene = Scene()
    scene.plays(scene.says(5000).audio, 300)
    assert scene.ends(after_ms=0) is None


def test_a_correction_may_take_time() -> None:
    scene = Scene()
    scene.plays(scene.says(1000).audio, 300)
    scene.clears()
    assert scene.ends(after_ms=100) is None


@pytest.mark.parametrize(
    "command", [SendEvent(DeleteItem("item_0")), SendEvent(TruncateItem("item_0", 0, 100))]
)
def test_items_that_the_application_edits_are_not_judged(command: Command) -> None:
    scene = Scene()
    scene.plays(scene.says(1000).audio, 300)
    scene.clears()
    scene.truth.on_command(command, scene.now)
    assert scene.ends() is None


def test_nothing_is_judged_after_a_reset() -> None:
    scene = Scene()
    scene.plays(scene.says(1000).audio, 300)
    scene.clears()
    scene.truth.on_command(ResetHistory(()), scene.now)
    assert scene.ends() is None


def test_equal_audio_has_different_voices() -> None:
    """Two answers of the same bytes, of which the second was cut."""
    scene = Scene()
    first, second = scene.says(1000), scene.says(1000)
    scene.plays(first.audio + second.audio, 1400)
    scene.clears()
    second.item.truncate(400)
    assert scene.ends() is None
    second.item.truncate(0)
    assert scene.truth.judge(scene.phone, [scene.model], scene.now) is not None


def test_a_clip_within_an_item_is_not_counted() -> None:
    scene = Scene()
    said = scene.says(1000)
    chime = agent_voice(300, 20)
    scene.truth.on_command(Play(chime, "chime"), 0)
    scene.truth.on_command(PressKeys("12"), 0)
    scene.plays(said.audio[:4000] + chime + key_tones("12", 100, 50) + said.audio[4000:], 1300)
    scene.clears()
    said.item.truncate(700)
    assert scene.ends() is None


@pytest.mark.parametrize("inside", [True, False])
def test_out_of_band_audio_is_not_in_the_memory(*, inside: bool) -> None:
    scene = Scene()
    scene.plays(scene.says(1000, inside=inside).audio, 300)
    scene.clears()
    assert (scene.ends() is None) is not inside


def test_text_has_no_voice() -> None:
    scene = Scene()
    text = Reply((TextReply("word"),))
    assert scene.truth.assign_voices(text, 0) == text
    scene.model.conversation.append(StoredItem({"id": "item_0"}, [{"type": "output_text"}]))
    assert scene.ends() is None


# How uncertain that is.


def nothing(_: ImpairmentPlan) -> None:
    pass


def rule(trouble: ImpairmentPlan) -> None:
    trouble.from_phone.append(Drop("mark"))


def restart(trouble: ImpairmentPlan) -> None:
    trouble.stream_restart = StreamRestart()


def narrow(way: str) -> Change:
    def change(trouble: ImpairmentPlan) -> None:
        trouble.directions[way].bytes_per_second = 20_000

    return change


def jitter(way: str, ms: int) -> Change:
    def change(trouble: ImpairmentPlan) -> None:
        trouble.directions[way].jitter_ns = ms * MS

    return change


def stall(trouble: ImpairmentPlan) -> None:
    trouble.directions["phone to bridge"].stalls = ((SECOND, SECOND + 50 * MS),)


def drift(trouble: ImpairmentPlan) -> None:
    trouble.drift_ppm["phone"] = -1000


def start_late(trouble: ImpairmentPlan) -> None:
    trouble.start_delay_ns = 200 * MS


def work_slowly(trouble: ImpairmentPlan) -> None:
    trouble.pace = Pace(client_event_ns=100 * MS)


@pytest.mark.parametrize(
    ("change", "bound_ms"),
    [
        (nothing, 2),
        (jitter("bridge to phone", 30), 62),
        (jitter("phone to bridge", 30), 32),
        (jitter("model to bridge", 30), 2),
        (stall, 52),
        (drift, 12),
        (start_late, 2),
    ],
)
def test_the_bound_is_what_links_may_add(change: Change, bound_ms: int) -> None:
    assert belief_bound_ns(trouble_of(change)) == bound_ms * MS


@pytest.mark.parametrize(
    "change", [rule, restart, narrow("bridge to phone"), narrow("phone to bridge")]
)
def test_changed_or_queued_messages_have_no_bound(change: Change) -> None:
    assert belief_bound_ns(trouble_of(change)) is None
    assert cut(change, believed_ms=1000) is None


@pytest.mark.parametrize("change", [work_slowly, narrow("bridge to model")])
def test_a_slow_model_is_not_judged(change: Change) -> None:
    assert cut(change, believed_ms=1000) is None


def test_impairments_that_are_over_count() -> None:
    scene = Scene()
    late = trouble_of(jitter("bridge to phone", 30))
    scene.truth = GroundTruth(late, CallConfig())
    for way in late.directions.values():
        way.remove_impairments()
    said = scene.says(1000)
    scene.plays(said.audio, 300)
    scene.clears()
    said.item.truncate(350)
    assert scene.ends() is None


KNOWN = CallConfig(start_delay_history=StartDelayHistory((150 * MS,)))


def test_a_start_delay_is_uncertain_until_an_echo() -> None:
    assert cut(start_late, believed_ms=100) is None
    assert cut(config=KNOWN, believed_ms=150) is None
    assert cut(config=KNOWN, believed_ms=140) is not None


def test_a_start_delay_is_certain_after_an_echo() -> None:
    scene = Scene(config=KNOWN)
    said = scene.says(2000)
    scene.plays(said.audio, 700)
    scene.clears()
    said.item.truncate(690)
    assert scene.ends() is not None


# What is heard.


def test_a_phone_that_plays_nothing_is_found() -> None:
    scene = Scene()
    scene.says(1000)
    assert scene.ends() == (3, "the model has said 1000 ms, and the phone has played none")


def test_a_phone_may_play_nothing_in_a_short_call() -> None:
    scene = Scene()
    scene.says(1000)
    assert scene.ends(after_ms=1000) is None


def end_session(trouble: ImpairmentPlan) -> None:
    trouble.max_session_ns = SECOND


def cut_line(trouble: ImpairmentPlan) -> None:
    trouble.cuts.append(LinkCut("phone", SECOND, 1, is_reset=True))


@pytest.mark.parametrize("change", [end_session, cut_line])
def test_a_phone_may_play_nothing_before_a_cut(change: Change) -> None:
    scene = Scene(change)
    scene.says(1000)
    assert scene.ends() is None


@pytest.mark.parametrize(
    ("event", "is_end"),
    [
        (CueStarted(SECOND, WhenAgentQuiet(0, Leave())), True),
        (CueStarted(SECOND, WhenAgentQuiet(0, CallerPressesKey("1"))), False),
    ],
)
def test_a_phone_may_play_nothing_after_a_hang_up(event: CueStarted, *, is_end: bool) -> None:
    scene = Scene()
    scene.says(1000)
    scene.truth.on_notification(
        "bridge", PhoneDisconnected(caller_hung_up=False, code=1000, reason=""), 0
    )
    scene.truth.on_notification("phone", event, SECOND)
    assert (scene.ends() is None) is is_end


@pytest.mark.parametrize("once_heard", [True, False])
def test_a_phone_may_play_nothing_after_a_command(*, once_heard: bool) -> None:
    scene = Scene()
    scene.says(1000)
    scene.truth.on_command(HangUp(after_playback=once_heard), SECOND)
    assert (scene.ends() is None) is not once_heard


def test_a_phone_may_play_nothing_after_an_interruption() -> None:
    scene = Scene()
    scene.says(1000)
    scene.truth.on_command(Interrupt(cancel=False), 0)
    assert scene.ends() is None


def test_audio_of_nobody_is_found() -> None:
    scene = Scene()
    scene.plays(agent_voice(1000, 99), 400)
    assert scene.ends(after_ms=0) == (3, "the phone has played 400 ms that nobody has said")


def test_the_rest_of_a_frame_is_not_judged() -> None:
    scene = Scene()
    said = scene.says(1000)
    scene.plays(said.audio, 300)
    scene.clears()
    said.item.truncate(300)
    scene.plays(said.audio[:5], 10)
    assert scene.ends() is None


# Warnings and errors.


def warned(*changes: Change) -> Wrong | None:
    scene = Scene(*changes)
    scene.phone.warnings.append(StreamWarning(31951, "mark: mark is missing or no object"))
    return scene.ends()


def meddle(trouble: ImpairmentPlan) -> None:
    trouble.to_phone.append(Drop("media"))


def lose_requests(trouble: ImpairmentPlan) -> None:
    trouble.to_model.append(Drop("response.create"))


def test_a_warning_of_twilio_is_found() -> None:
    assert warned() == (0, "Twilio warns: mark: mark is missing or no object")
    assert warned(rule) is not None


@pytest.mark.parametrize("change", [meddle, restart])
def test_a_warning_about_changed_messages_is_excused(change: Change) -> None:
    assert warned(change) is None


def refused(
    type_: str, code: str | None, *commands: Command, changes: tuple[Change, ...] = ()
) -> Wrong | None:
    scene = Scene(*changes)
    for command in commands:
        scene.truth.on_command(command, 0)
    scene.model.sent_errors.append(SentError(type_, code, "no", param=None, event_id=None))
    return scene.ends()


@pytest.mark.parametrize("code", [None, "unknown_parameter", "item_delete_invalid_item_id"])
def test_an_error_of_the_server_is_found(code: str | None) -> None:
    type_ = "conversation.item.delete"
    assert refused(type_, code) == (0, f"the server refuses {type_}: {code}")


@pytest.mark.parametrize(
    ("type_", "code"),
    [
        ("response.cancel", "response_cancel_not_active"),
        ("response.create", "conversation_already_has_active_response"),
    ],
)
def test_errors_of_crossed_messages_are_excused(type_: str, code: str) -> None:
    assert refused(type_, code) is None
    assert refused("session.update", code) is not None


@pytest.mark.parametrize(
    ("type_", "code", "command"),
    [
        (
            "conversation.item.delete",
            "item_delete_invalid_item_id",
            SendEvent(DeleteItem("x")),
        ),
        (
            "conversation.item.truncate",
            "item_truncate_invalid_item_id",
            SendEvent(DeleteItem("x")),
        ),
        ("conversation.item.create", "invalid_value", ResetHistory(())),
        (
            "input_audio_buffer.commit",
            "input_audio_buffer_commit_empty",
            SendAudio(bytes(8), commit=True),
        ),
        (
            "session.update",
            "cannot_update_voice",
            SendEvent(UpdateSession({"type": "realtime"})),
        ),
    ],
)
def test_errors_of_commands_are_excused(type_: str, code: str, command: Command) -> None:
    assert refused(type_, code, command) is None
    assert refused(type_, code) is not None
    assert refused(type_, "unknown_parameter", command) is not None


@pytest.mark.parametrize("change", [rule, restart, drift, lose_requests])
def test_errors_of_impaired_peers_are_excused(change: Change) -> None:
    assert refused("session.update", "unknown_parameter", changes=(change,)) is None


# Calls.


class LateTruncates(Bridge):
    """A bridge whose truncates are 10 ms late, within what marks confirm and what was sent."""

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        return [_ten_ms_later(each) for each in super().receive_text(peer, text, now)]


def _ten_ms_later(action: Action) -> Action:
    match action:
        case Send(peer, TruncateItem(audio_end_ms=end_ms) as event):
            return Send(peer, attrs.evolve(event, audio_end_ms=end_ms + 10))
        case _:
            return action


@pytest.mark.parametrize("level", ["messages", "bytes"])
def test_a_random_call_is_judged_at_its_end(level: str) -> None:
    failure = RandomCall(plainest(), "early-interruption", level, LateTruncates).run()
    assert failure is not None
    assert failure.invariant == 4
    assert re.match(r"the caller has heard \d+ ms of an item", failure.text)
