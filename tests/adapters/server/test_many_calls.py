"""Many calls at once in one process, over real sockets, while other peers misbehave."""

import pytest

from many_calls import ManyCalls


@pytest.mark.parametrize("runtime", ["trio", "asyncio"])
def test_forty_calls_forward_every_frame_despite_hostile_peers(runtime: str) -> None:
    calls = ManyCalls(runtime, 40)
    calls.run()
    calls.assert_nothing_lost()
