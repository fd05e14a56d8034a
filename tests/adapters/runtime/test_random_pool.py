"""Unpredictable bytes in blocks."""

import os
from itertools import count, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime.runtime.random_pool import RandomPool


@given(st.lists(st.integers(1, 9000), max_size=30))
def test_each_byte_of_the_system_is_returned_at_most_once(sizes: list[int]) -> None:
    numbers = count()
    drawn = list[bytes]()

    def draw(size: int) -> bytes:
        drawn.append(bytes(number % 256 for number in islice(numbers, size)))
        return drawn[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "urandom", draw)
        pool = RandomPool()
        pieces = [pool(size) for size in sizes]
    assert [len(piece) for piece in pieces] == sizes
    rest = b"".join(drawn)
    for piece in pieces:
        before, found, rest = rest.partition(piece)
        assert found == piece
        assert len(before) < 9000


def test_masks_differ() -> None:
    pool = RandomPool()
    assert len({pool(4) for _ in range(3000)}) > 2990
