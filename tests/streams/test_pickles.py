import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from archives import noise, pickle2

from negreplay.errors import UserError
from negreplay.streams.pickles import PickledArray, load_arrays

HERE = Path("somewhere/batch")
PIXELS = noise(2, 12)


class Harmful:
    """Unpickled by the standard library, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.folder,)


def array_of(value: object) -> PickledArray:
    assert isinstance(value, PickledArray)
    return value


@pytest.mark.parametrize("content", [pickle2(PIXELS), *(pickle.dumps(PIXELS, protocol) for protocol in (3, 4))])
def test_arrays_of_python_2_and_3(content: bytes):
    assert np.array_equal(array_of(load_arrays(content, HERE)).bytes_as(2, 3, 4), PIXELS.reshape(2, 3, 4))


def test_texts_are_bytes_and_numbers_numbers():
    held = {b"labels": [1, 2], b"names": [b"a", b"b"]}
    assert load_arrays(pickle2(held), HERE) == held


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(PIXELS.astype(np.int16), 4),
        pickle.dumps(np.asfortranarray(PIXELS), 4),
        pickle2(PIXELS[:1]),
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)R.",
    ],
)
def test_an_array_of_something_else_is_no_pixels(content: bytes):
    with pytest.raises(ValueError):
        array_of(load_arrays(content, HERE)).bytes_as(2, 3, 4)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_run(tmp_path: Path, protocol: int):
    content = pickle.dumps({"data": Harmful(tmp_path / "made")}, protocol)
    with pytest.raises(UserError, match=r"^somewhere/batch holds .*mkdir, which may be code, and is not read: get"):
        load_arrays(content, HERE)
    assert not (tmp_path / "made").exists()
    pickle.loads(content)
    assert (tmp_path / "made").exists(), "it would have been"


REFUSED = [
    b"cbuiltins\neval\n(S'1'\ntR.",
    b"cnumpy\nload\n(S'x'\ntR.",
    b"cnumpy.core.multiarray\nscalar\n.",
    b"cnumpy\nndarray.tofile\n.",
    b"c_codecs\nencode\n.",
    b"\x80\x04\x8c\x05numpy\x8c\x0dndarray.dumps\x93.",
]


@pytest.mark.parametrize("content", REFUSED)
def test_other_names_are_refused(content: bytes):
    with pytest.raises(UserError, match=r"^somewhere/batch holds .*, which may be code, and is not read"):
        load_arrays(content, HERE)


@pytest.mark.parametrize("cut", [0, 1, 20, -1])
def test_a_truncated_pickle_is_named(cut: int):
    with pytest.raises(UserError, match=r"^somewhere/batch is no readable pickle \(.*\): get the file"):
        load_arrays(pickle2(PIXELS)[:cut], HERE)


@pytest.mark.parametrize(
    "content",
    [
        b"no pickle",
        b"cnumpy\nndarray\n(I3\ntR.",
        b"cnumpy\nndarray\n)\x81.",
        b"\x80\x02cnumpy\ndtype\n(tR.",
        b"(I1\nI2\n}b.",
        b"Nb.",
        b"\x80\x04\x8c" + bytes([200]),
    ],
)
def test_a_damaged_pickle_is_named(content: bytes):
    with pytest.raises(UserError, match=r"^somewhere/batch is no readable pickle"):
        load_arrays(content, HERE)
