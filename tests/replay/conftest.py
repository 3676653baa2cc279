import pytest
import torch
from sources import CLASSES

from negreplay.nets.classifier import Classifier, cut
from negreplay.nets.heads import ConsolidatedHead
from negreplay.nets.renorm import renormalise
from negreplay.nets.small import SmallNet
from negreplay.recipe import Mode, RenormRecipe


@pytest.fixture
def classifier() -> Classifier:
    torch.manual_seed(0)
    net = SmallNet()
    return Classifier(*renormalised(net), ConsolidatedHead(256, CLASSES, Mode.NEGATIVE), blocked=True)


def renormalised(net: SmallNet) -> tuple[torch.nn.Module, torch.nn.Module]:
    return cut(renormalise(net, RenormRecipe()), "conv2")
