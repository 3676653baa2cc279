"""A pretrained network of one's own, to which classes are taught at any time: it never trains, only sums are kept."""

import torch
from sklearn.datasets import load_digits
from torch import nn

import negreplay as nr
from negreplay.recipe import RDARecipe

pixels, target = load_digits(return_X_y=True)
x, y = torch.tensor(pixels).float().reshape(-1, 1, 8, 8) / 16, torch.tensor(target)
test = torch.arange(len(y)) % 4 == 3
torch.manual_seed(0)
backbone = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())  # load your weights into yours
recipe = nr.Recipe("rda", None, nr.ClassifierRecipe("own", "input", renorm=None), learner=RDARecipe())


def taught(learner, digit, classes):
    """The learner, after the pictures of one more digit."""
    rows = (y == digit) & ~test
    list(learner.learn(nr.experience(x[rows], y[rows], classes)))
    return learner


learner = nr.build_learner(recipe, x[0], classes=1, backbone=backbone)
assert isinstance(learner, nr.ClosedForm)  # so that classes can be added
for digit in range(8):  # a new class is announced when it comes
    learner = taught(learner.with_classes(torch.arange(learner.classes), digit + 1), digit, digit + 1)
familiar = learner.familiarity(learner.features(x[test], encoded=False))
print(f"of 8 and 9, {(familiar[y[test] >= 8] < familiar[y[test] < 8].quantile(0.05)).float().mean():.3f} look unknown")

elsewhere = nr.build_learner(recipe, x[0], classes=10, backbone=backbone)
for digit in (8, 9):
    taught(elsewhere, digit, 10)
learner = learner.with_classes(torch.arange(8), 10)
learner.merge(elsewhere, torch.arange(10))
print(f"all ten {(learner.predict(x[test]).argmax(dim=1) == y[test]).float().mean():.3f}")
learner = learner.with_classes(torch.tensor([0, 1, 2, 3, 4, 5, -1, 6, 7, 8]), 9)  # without the 6, which is forgotten
