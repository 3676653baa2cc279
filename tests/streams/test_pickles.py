import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negreplay.errors import UserError
from negreplay.streams.pickles import load_plain

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
