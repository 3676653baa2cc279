import pytest
from arms import stream_of

from negreplay.streams.stream import Stream


@pytest.fixture
def stream() -> Stream:
    """Class 3 never comes."""
    return stream_of([0, 2], [4], [0], [1])
