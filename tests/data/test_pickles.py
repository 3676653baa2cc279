import os
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from archives import noise, pickle2
from hypothesis import given
from hypothesis import strategies as st

from negreplay.data.pickles import PickledArray, load_arrays, load_plain
from negreplay.errors import UserError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(value=PLAIN, protocol=st.integers(3, pickle.HIGHEST_PROTOCOL))
def test_plain_values_come_back(tmp_path_factory: pytest.TempPathFactory, value: object, protocol: int):
    path = tmp_path_factory.mktemp("pickles") / "a.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    assert load_plain(path) == value


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch harmed",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_code_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "LUP.pkl"
    path.write_bytes(pickle.dumps({"ni": [Malicious()]}, protocol))
    with pytest.raises(UserError, match=r"LUP\.pkl holds (posix|nt)\.system, which may be code, and is not read"):
        load_plain(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps(list(range(1000)))[:500], b"h\x05.", b"]q\x00R."])
def test_damage_is_one_sentence(tmp_path: Path, content: bytes):
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.pkl is no readable pickle \(.+\): get the file"):
        load_plain(tmp_path / "a.pkl")


def test_a_missing_file_is_one_sentence(tmp_path: Path):
    with pytest.raises(UserError, match=r"a\.pkl cannot be read \(No such file"):
        load_plain(tmp_path / "a.pkl")


# Arrays

HERE = Path("somewhere/batch")
PIXELS = noise(2, 12)


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
def test_code_beside_arrays_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int):
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps({"data": Malicious()}, protocol)
    with pytest.raises(UserError, match=r"^somewhere/batch holds .*system, which may be code, and is not read: get"):
        load_arrays(content, HERE)
    assert not list(tmp_path.iterdir())


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


def test_room_is_made_for_what_is_there_only():
    tracemalloc.start()
    assert load_arrays(b"\x80\x02]r\xff\xff\xff\x1f.", HERE) == []  # looked up again as number 536,870,911
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


def test_a_key_of_very_many_levels_does_not_end_the_process():
    levels = b")" + b"\x85" * 200_000
    for content in (b"}" + levels + b"Ns.", b"}(" + levels + b"Nu.", b"(" + levels + b"Nd."):
        with pytest.raises(UserError, match=r"is no readable pickle \(a key is neither a text nor a number\)"):
            load_arrays(content, HERE)
    value: object = load_arrays(levels + b".", HERE)
    while isinstance(value, tuple) and value:  # taken apart level by level
        (value,) = value
    assert value == ()


@pytest.mark.parametrize("content", [pickle.dumps({1}, 4), pickle.dumps(bytearray(1), 5), b"\x80\x02]K\x01\x85b."])
def test_what_no_official_pickle_has_is_refused(content: bytes):
    with pytest.raises(UserError, match=r"is no readable pickle \((an unknown instruction|it gives a state to what)"):
        load_arrays(content, HERE)
