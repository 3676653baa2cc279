import pytest
import torch
from sklearn import datasets

from negreplay.data import digits
from negreplay.data.digits import load_digits
from negreplay.errors import UserError


def test_they_are_those_of_scikit_learn():
    """Which is not imported for them."""
    pixels, target = datasets.load_digits(return_X_y=True)
    theirs = {(image.tobytes(), int(label)) for image, label in zip(pixels.astype("float32") / 16, target, strict=True)}
    ours = [(x.numpy().tobytes(), int(y)) for part in load_digits() for x, y in zip(part.x, part.labels, strict=True)]
    assert len(ours) == len(target) and set(ours) == theirs


def test_without_them_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(digits, "files", lambda _: None)
    with pytest.raises(UserError, match=r"scikit-learn is not installed whole: pip install"):
        load_digits()


def test_shapes_values_and_names():
    train, test = load_digits()
    assert train.x.shape[1:] == test.x.shape[1:] == (1, 8, 8)
    assert len(train.labels) + len(test.labels) == 1797
    assert train.x.min() == 0 and train.x.max() == 1
    assert train.names == test.names == tuple("0123456789")
    assert not train.encoded


def test_every_class_gives_a_quarter_to_the_test_set():
    train, test = load_digits()
    in_train, in_test = torch.bincount(train.labels), torch.bincount(test.labels)
    share = in_test / (in_train + in_test)
    assert share.sub(0.25).abs().max() < 0.01


def test_split_is_fixed_and_disjoint():
    (train, test), (train_again, _) = load_digits(), load_digits()
    assert torch.equal(train.x, train_again.x)
    assert train.fingerprint == train_again.fingerprint != test.fingerprint
    seen = {image.numpy().tobytes() for image in train.x}
    assert not any(image.numpy().tobytes() in seen for image in test.x)
