import copy
import re
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import save_file
from tiny import photographs, tree
from torch import nn

from negreplay.builders.learners import build_learner
from negreplay.builders.nets import build_backbone
from negreplay.cell import learn_cell
from negreplay.data.data import example_of
from negreplay.data.folders import load_images
from negreplay.errors import UserError
from negreplay.nets import library
from negreplay.nets.classifier import cut, fingerprint
from negreplay.nets.library import library_net, pretrained_net
from negreplay.nets.renorm import BatchRenorm2d, renormalise
from negreplay.positions import read_rows_of
from negreplay.prepare import Cell, Places
from negreplay.recipe import (
    ClassifierRecipe,
    Front,
    GeneratorRecipe,
    ImageRecipe,
    Recipe,
    RenormRecipe,
    WeightsRecipe,
)

MISSING = find_spec("timm") is None or find_spec("torchvision") is None
needs_timm = pytest.mark.skipif(MISSING, reason="timm is not installed: it is the extra `vision`")

IMAGE = torch.zeros(1, 3, 32, 32)


class Family(NamedTuple):
    name: str
    at: str
    latent: tuple[int, ...]
    features: int
    side: int = 64


FAMILIES = [
    Family("resnet18", "layer3", (256, 4, 4), 512),
    Family("mobilenetv3_small_100", "blocks.3", (48, 4, 4), 1024),
    Family("efficientnet_b0", "blocks.4", (112, 4, 4), 1280),
    Family("convnext_atto", "stages.2", (160, 4, 4), 320),
    Family("vit_tiny_patch16_224", "blocks.9", (197, 192), 192, 224),
]
families = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def made(family: Family) -> nn.Module:
    """The network in evaluation mode, with batch norms that are not the initial ones."""
    torch.manual_seed(0)
    net = library_net(family.name)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)  # some begin at zero, which hides what lies before them
    return net.eval()


@needs_timm
@families
@torch.no_grad()
def test_any_family_is_cut_at_a_named_layer(family: Family):
    net, images = made(family), torch.rand(2, 3, family.side, family.side)
    front, back = cut(net, family.at)
    latents = front(images)
    assert tuple(latents.shape[1:]) == family.latent
    kept = latents.clone()
    features = back(latents)
    assert features.shape == (2, family.features) and features.std() > 0
    torch.testing.assert_close(features, net(images), rtol=0, atol=0)
    assert torch.equal(latents, kept), "the back overwrote its latents"


@needs_timm
@pytest.mark.parametrize("family", FAMILIES[:3], ids=lambda family: family.name)
def test_renormalised_it_computes_the_same_in_evaluation_and_learns(family: Family):
    net, images = made(family), torch.rand(4, 3, family.side, family.side)
    front, back = cut(copy.deepcopy(net), family.at)
    halves = renormalise(nn.Sequential(front, back), RenormRecipe())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in halves.modules())
    torch.testing.assert_close(halves(images), net(images), atol=1e-4, rtol=1e-3)
    norms = [module for module in halves.modules() if isinstance(module, BatchRenorm2d)]
    (halves.train()(images) * torch.randn(4, family.features)).sum().backward()
    assert len(norms) >= 20 and all(norm.bias.grad is not None and norm.bias.grad.any() for norm in norms)


@needs_timm
def test_a_transformer_has_nothing_to_renormalise():
    with pytest.raises(UserError, match=r"^classifier\.renorm has no effect, for the network has no batch norm"):
        renormalise(made(FAMILIES[4]), RenormRecipe())


@needs_timm
def test_images_are_normalised_first_and_all_other_names_are_the_librarys():
    net = library_net("resnet18", (0.5, 0.4, 0.3), (0.5, 0.25, 0.1))
    black = net.get_submodule("normalise")(torch.zeros(1, 3, 2, 2))
    torch.testing.assert_close(black[0, :, 0, 0], torch.tensor([-1.0, -1.6, -3.0]))
    assert "normalise" in str(cut(net, "conv1")[0].graph)  # pyright: ignore[reportAttributeAccessIssue]
    assert {name.split(".")[0] for name in net.state_dict()} == {"normalise", "conv1", "bn1"} | {
        f"layer{i}" for i in range(1, 5)
    }


@needs_timm
def test_a_front_keeps_its_name_from_one_process_to_the_next():
    fronts = [cut(made(family), family.at)[0] for family in FAMILIES]
    assert not any(re.search("0x[0-9a-f]{6}", str(front)) for front in fronts)
    assert len({fingerprint(front) for front in fronts}) == len(fronts)
    assert fingerprint(cut(made(FAMILIES[0]), "layer3")[0]) == fingerprint(fronts[0])


@needs_timm
@pytest.mark.parametrize(
    ("name", "at", "sentence"),
    [
        ("lenet5", "layer3", "'timm/lenet5', which timm does not have: timm.list_models() gives their names."),
        ("resnet-18", "layer3", "'timm/resnet-18', which timm does not have: did you mean timm/resnet18 or timm/"),
        ("MobileNet-V3-Small_100", "blocks.3", "timm does not have: did you mean timm/mobilenetv3_small_100 or"),
        ("resnet19", "layer3", "'timm/resnet19', which timm does not have: did you mean timm/resnet"),
        ("resnet", "layer3", "which timm does not have: did you mean timm/"),
        ("resnet18", "layer5", "ResNet has no layer 'layer5': did you mean 'layer"),
        ("vit_tiny_patch16_224", "blocks.3.mlp", "a path (with the value "),
        (
            "twins_pcpvt_small",
            "blocks.2",
            "cannot be traced down to layer 'blocks.2' (Proxy object cannot be iterated): ",
        ),
        ("crossvit_9_240", "blocks.1", "cannot be traced down to layer 'blocks.1'"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(name, at, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)) as told:
        cut(library_net(name), at)
    assert "\n" not in str(told.value)


@needs_timm
def test_weights_come_from_a_file_with_the_librarys_names(tmp_path):
    source = made(FAMILIES[0])
    state = {name: tensor for name, tensor in source.state_dict().items() if not name.startswith("normalise")}
    save_file(state | {"fc.bias": torch.zeros(1000)}, tmp_path / "net.safetensors")
    weights = WeightsRecipe("net.safetensors")
    copied = build_backbone(ClassifierRecipe("timm/resnet18", "layer3", weights=weights), tmp_path, IMAGE).eval()
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(copied(images), source(images), rtol=0, atol=0)
    with pytest.raises(UserError, match=r"net\.safetensors has no 'layer1\.2\.conv1\.weight'"):
        build_backbone(ClassifierRecipe("timm/resnet34", "layer3", weights=weights), tmp_path, IMAGE)


@needs_timm
def test_pretrained_weights_come_with_their_mean_and_standard_deviation(monkeypatch):
    timm, asked = library._timm(), []
    create = timm.create_model

    def offline(name: str, pretrained: bool, **options: int) -> nn.Module:
        asked.append(pretrained)
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    recipe = ClassifierRecipe("timm/vit_tiny_patch16_224", "blocks.9", pretrained=True, renorm=None)
    net = build_backbone(recipe, Path(), IMAGE)
    assert asked == [True]
    assert net.get_buffer("normalise.mean").flatten().tolist() == [0.5, 0.5, 0.5]


@needs_timm
def test_weights_that_cannot_be_had_are_told_in_a_sentence(monkeypatch):
    def no_network(*_: object, **__: object) -> nn.Module:
        raise OSError("No route to host. Try later.\nDetails follow.")

    with pytest.raises(
        UserError, match=r"^timm has no weights for timm/coatnet_0_224: set classifier.pretrained to false\.$"
    ):
        pretrained_net("coatnet_0_224")
    monkeypatch.setattr(library._timm(), "create_model", no_network)
    sentence = "the weights of timm/resnet18 cannot be downloaded (No route to host): connect to a network, or name"
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}"):
        pretrained_net("resnet18")


def test_a_missing_library_is_named_with_the_remedy(monkeypatch):
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    library._timm.cache_clear()
    monkeypatch.setattr(library, "import_module", missing)
    with pytest.raises(UserError, match=r"torchvision is not installed: pip install 'negreplay\[vision\]'\.$"):
        library_net("resnet18")


def arms(side: int, net: ClassifierRecipe) -> dict[str, Recipe]:
    changes = {"classifier": net, "stream": replace(photographs().recipes[0].arriving, images=ImageRecipe(side))}
    recipes = photographs("nr-od", "nr-gd", "nr-rd", **changes).recipes
    generator = GeneratorRecipe("dense", width=8, latent_dim=4, first_iterations=2, iterations=2)
    return {arm.name: replace(arm, generator=arm.generator and generator) for arm in recipes}


@needs_timm
@pytest.mark.parametrize(
    ("side", "net", "arm"),
    [
        (32, ClassifierRecipe("timm/test_efficientnet", "blocks.2"), "nr-gd"),
        (32, ClassifierRecipe("timm/test_efficientnet", "blocks.2", Front.FIRST), "nr-rd"),
        (160, ClassifierRecipe("timm/test_vit", "blocks.3", renorm=None), "nr-od"),
        (160, ClassifierRecipe("timm/test_vit", "blocks.3", Front.FIRST, renorm=None), "nr-gd"),
    ],
)
def test_a_stream_is_learned_and_the_store_changes_nothing(side, net, arm, tmp_path):
    tree(tmp_path)
    finals = []
    for store in (None, tmp_path / "store"):
        cell = Cell(arms(side, net)[arm], 0, tmp_path / f"{store is None}", Places(tmp_path, tmp_path, store))
        events = list(learn_cell(cell))
        losses = [event.step.loss for event in events if event.step is not None and event.step.part != "encoding"]
        rows = read_rows_of(cell.checkpoint)
        assert len(rows) == 3
        finals.append((losses, [row.whole for row in rows]))
    assert finals[0] == finals[1]


@needs_timm
def test_images_of_another_size_than_a_transformers_are_refused(tmp_path):
    recipe = arms(32, ClassifierRecipe("timm/vit_tiny_patch16_224", "blocks.3", renorm=None))["nr-od"]
    train, _ = load_images(tree(tmp_path), ImageRecipe(32))
    with pytest.raises(UserError, match=r"does not take these images \(.*32.*224.*\): set stream.images.size.$"):
        build_learner(recipe, *example_of(train), weights=tmp_path)
