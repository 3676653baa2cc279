"""Exemplars that are images: kept as bytes, and varied each time they are taken, as the experience's images are."""

import numpy as np
import pytest
import torch
from sources import absorb, seeded
from states import same, state_of
from torch import Tensor, nn

from negreplay.data.data import Data, Tensors, View
from negreplay.data.digits import load_digits
from negreplay.data.images import Pixels
from negreplay.nets.classifier import Classifier
from negreplay.nets.heads import PlainHead
from negreplay.patterns import Memory, counts_of, drawn
from negreplay.recipe import Augment, Choice, ImageRecipe, Mode
from negreplay.replay.exemplars import Exemplars, herding, kept_images
from negreplay.streams.stream import Experience, Stream

CHANNELS = pytest.mark.parametrize("channels", [1, 3])
COUNT = 6


def images(recipe: ImageRecipe, channels: int = 3, height: int = 20, width: int = 24, seed: int = 0) -> Pixels:
    """Six images of noise, of the classes 0 and 1."""
    pixels = np.random.RandomState(seed).randint(0, 256, (COUNT, height, width, channels)).astype(np.uint8)
    return Pixels(pixels, torch.arange(COUNT) % 2, ("a", "b"), "noise", recipe, recipe.augment is not Augment.NONE)


def taken_in(data: Data, recipe: ImageRecipe, choice: Choice = Choice.ALL) -> Exemplars:
    """All of a data set whose images are read by this recipe, as exemplars; class by class, so 0, 2, 4, 1, 3, 5."""
    x = data.read(torch.arange(1))[0]
    source = Exemplars(x, 2, COUNT, None, choice, kept_images(recipe, x), seeded())
    absorb(source, classifier(x), experience(data))
    return source


def experience(data: Data) -> Experience:
    return Stream(data, data, [torch.arange(COUNT)])[0]


def classifier(x: Tensor) -> Classifier:
    return Classifier(nn.Identity(), nn.Flatten(), PlainHead(x.numel(), 2, Mode.POSITIVE), blocked=True)


ORDER = torch.tensor([0, 2, 4, 1, 3, 5])
ALL = torch.arange(COUNT)


def taken(memory: Memory, rng: torch.Generator) -> Tensor:
    """All that a memory holds, as an epoch would take it."""
    return memory.read(*drawn(ALL, memory.augmented, rng))


@CHANNELS
def test_images_are_kept_as_bytes_without_loss(channels):
    pixels = np.arange(6 * 256 * channels).reshape(6, 16, 16, channels) % 256  # all 256 levels
    data = Pixels(pixels.astype(np.uint8), torch.arange(6) % 2, ("a", "b"), "levels", ImageRecipe())
    source = taken_in(data, ImageRecipe())
    assert source.x.dtype == torch.uint8 and source.x.nbytes == 6 * 256 * channels
    memory = source.recall()
    assert memory.labels.tolist() == [0, 0, 0, 1, 1, 1] and counts_of(memory, 3).tolist() == [3, 3, 0]
    assert torch.equal(taken(memory, seeded()), data.read(ORDER))


def test_latents_are_kept_as_the_numbers_that_they_are():
    x = torch.randn(COUNT, 3, 2, 2, generator=seeded(1)) * 1e3
    source = Exemplars(x[0], 2, COUNT, None, Choice.ALL, None, seeded())
    data = source.data()
    assert data.encoded and not data.augmented and len(data.labels) == 0
    absorb(source, classifier(x[0]), experience(Tensors(x, ALL % 2, ("a", "b"), "latents", encoded=True)))
    assert source.x.dtype == torch.float32
    assert torch.equal(taken(source.recall(), seeded()), x[ORDER])


@CHANNELS
@pytest.mark.parametrize("augment", [Augment.FLIP, Augment.CROP])
@pytest.mark.parametrize("size", [None, 16])
def test_exemplars_vary_as_the_images_of_the_experience_do(channels, augment, size):
    """A draw makes of an exemplar, to the bit, what it makes of the image that it was."""
    recipe = ImageRecipe(size, augment=augment)
    data = images(recipe, channels)
    source, draws = taken_in(data, recipe), torch.randint(2**62, (COUNT,), generator=seeded(2))
    kept = source.data()
    assert kept.augmented and not kept.encoded
    assert torch.equal(kept.read(ALL, draws), data.read(ORDER, draws))
    assert not torch.equal(kept.read(ALL, draws), kept.read(ALL))


def test_resized_crops_are_taken_of_what_was_looked_at_plainly():
    recipe = ImageRecipe(16, shorter_side=18, augment=Augment.RESIZED_CROP)
    data, draws = images(recipe), torch.randint(2**62, (COUNT,), generator=seeded(2))
    kept = taken_in(data, recipe).data()
    plainly = (data.read(ORDER) * 255).round().to(torch.uint8).movedim(1, -1).numpy()
    again = Pixels(plainly, data.labels[ORDER], data.names, "again", ImageRecipe(16, augment=Augment.RESIZED_CROP))
    assert torch.equal(kept.read(ALL), data.read(ORDER)), "read without draws they are what was looked at"
    assert torch.equal(kept.read(ALL, draws), again.read(ALL, draws))
    assert not torch.equal(kept.read(ALL, draws), kept.read(ALL))


@pytest.mark.parametrize("augment", [Augment.FLIP, Augment.CROP, Augment.RESIZED_CROP])
def test_exemplars_vary_each_time_they_are_taken_but_not_when_they_are_read_plainly(augment):
    recipe = ImageRecipe(16, augment=augment)
    data = images(recipe)
    source, rng = taken_in(data, recipe), seeded(3)
    memory, plain = source.recall(), data.read(ORDER)
    one, other = taken(memory, rng), taken(memory, rng)
    assert not torch.equal(one, other) and not torch.equal(one, plain)
    assert torch.equal(taken(memory, seeded(3)), one), "all draws come from the given generator"
    for augmented in (True, False):
        assert torch.equal(source.data(augmented).read(ALL), plain)
    # Even a loader that shuffles does not vary what is asked for as it is.
    still, moving = (View(source.data(augmented), ALL) for augmented in (False, True))
    order = torch.randperm(COUNT, generator=seeded(4))
    (batch,) = still.batches(COUNT, seeded(4))
    assert torch.equal(batch.x, plain[order]) and torch.equal(batch.y, memory.labels[order])
    (varied,) = moving.batches(COUNT, seeded(4))
    assert not torch.equal(varied.x, plain[order])


def test_where_nothing_varies_nothing_is_drawn():
    rng = seeded()
    before = rng.get_state()
    taken(taken_in(images(ImageRecipe()), ImageRecipe()).recall(), rng)
    assert torch.equal(rng.get_state(), before)


def test_herding_looks_at_images_as_the_network_sees_them():
    data = images(ImageRecipe(16), channels=1)
    source = taken_in(data, ImageRecipe(16), Choice.HERDING)
    for c in (0, 1):
        rows = (data.labels == c).nonzero().flatten()
        expected = data.read(rows[herding(data.read(rows).flatten(1), 3)])
        assert torch.equal(source.data().read((source.y == c).nonzero().flatten()), expected)


def test_images_and_how_they_vary_come_back_from_a_state():
    recipe = ImageRecipe(augment=Augment.CROP)
    source = taken_in(images(recipe), recipe)
    twin = taken_in(images(recipe, seed=1), recipe)
    assert not same(state_of(twin), state_of(source))
    twin.load_state_dict(state_of(source))
    assert torch.equal(taken(twin.recall(), seeded(5)), taken(source.recall(), seeded(5)))
    more = images(recipe, seed=2)
    for one in (source, twin):
        one.choice, one.rng = Choice.RANDOM, seeded(6)
        absorb(one, classifier(more.read(ALL)[0]), experience(more))
    assert same(state_of(twin), state_of(source))


@pytest.mark.parametrize(
    ("recipe", "kept"),
    [
        (ImageRecipe(), ImageRecipe()),
        (ImageRecipe(16), ImageRecipe()),
        (ImageRecipe(16, augment=Augment.FLIP), ImageRecipe(augment=Augment.FLIP)),
        (ImageRecipe(16, shorter_side=18, augment=Augment.CROP), ImageRecipe(augment=Augment.CROP)),
        # Crops have to be resized to something: to the side that images have already.
        (ImageRecipe(16, augment=Augment.RESIZED_CROP), ImageRecipe(16, augment=Augment.RESIZED_CROP)),
        (ImageRecipe(16, 18, Augment.RESIZED_CROP), ImageRecipe(16, augment=Augment.RESIZED_CROP)),
    ],
)
def test_how_images_that_have_been_read_are_read_again(recipe, kept):
    assert kept_images(recipe, images(recipe).read(torch.arange(1))[0]) == kept


def test_what_is_no_image_of_bytes_is_kept_as_numbers():
    digit = load_digits()[0].read(torch.arange(1))[0]
    assert torch.equal((digit * 16).round() / 16, digit), "levels from 0 to 16"
    assert kept_images(ImageRecipe(), digit) is None
    whole = torch.randint(256, (3, 4, 4), generator=seeded()) / 255
    assert kept_images(ImageRecipe(), whole) is not None
    for other in (whole.flatten(), whole + 1e-3, whole * 0.5):
        assert kept_images(ImageRecipe(), other) is None
