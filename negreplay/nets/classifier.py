"""The classifier: front, replay layer, back and head.

Replay enters in the middle of the network: `cut` divides a backbone after any of its layers, whose outputs are the
latents; the front computes them from images, the back makes features of them, and the head decides.
"""

import copy
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, fx, nn

from negreplay.errors import UserError
from negreplay.nets.heads import Head
from negreplay.nets.layers import allow_single_values
from negreplay.patterns import Batch

INPUT = "input"
"""The name of the replay layer where images themselves are replayed."""


class Classifier(nn.Module):
    """A network that learns from images and latents at once.

    Args:
        front: images to latents (see `cut`).
        back: latents to features.
        head: features to logits.
        blocked: whether the front never learns; see also `block_front`.

    A blocked front takes no gradient and stays in evaluation mode, so that a latent is a constant of its image.
    """

    blocked: Tensor

    def __init__(self, front: nn.Module, back: nn.Module, head: Head, blocked: bool) -> None:
        super().__init__()
        self.front, self.back, self.head = front, back, head
        self.register_buffer("blocked", torch.tensor(blocked))
        allow_single_values(self)
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.register_load_state_dict_post_hook(_settle)
        _settle(self)

    def block_front(self) -> None:
        """Ends the learning of the front, for good."""
        self.blocked.fill_(True)
        _settle(self)

    def train(self, mode: bool = True) -> "Classifier":
        super().train(mode)
        _settle(self)
        return self

    def encode(self, inputs: Float[Tensor, "n *shape"], encoded: bool = False) -> Float[Tensor, "n *latent"]:
        """Computes the latents of images, which may lie on any device.

        A blocked front computes in float32 even where autocast is on, and its latents carry no gradient. So a latent is
        a constant of its image. Inputs that are `encoded` already, such as those from a store, are only moved to the
        classifier's device.
        """
        inputs = inputs.to(self.blocked.device)
        if encoded:
            return inputs
        if not self.blocked:
            return self.front(_channels_last(inputs))
        with torch.no_grad(), torch.autocast(inputs.device.type, enabled=False):
            return self.front(_channels_last(inputs))

    def features(self, latents: Float[Tensor, "n *latent"]) -> Float[Tensor, "n f"]:
        """The features that the back computes from latents."""
        return self.back(_channels_last(latents))

    def decide(
        self, latents: Float[Tensor, "n *latent"], stop: Bool[Tensor, " n"] | None = None
    ) -> Float[Tensor, "n classes"]:
        """The logits of latents; the gradient of patterns in `stop` ends at the head (end of Section 3.3)."""
        features = self.features(latents)
        if stop is not None:
            features = torch.where(stop.unsqueeze(1), features.detach(), features)
        return self.head(features)

    def latents(self, batch: Batch) -> Float[Tensor, "n *latent"]:
        """The latents of a minibatch, those of replayed patterns last."""
        # All latents get the same memory format, for convolutions round differently in another one.
        latents = _channels_last(self.encode(batch.current, batch.encoded))
        if len(batch.replay):
            latents = torch.cat([latents, _channels_last(batch.replay)])
        if batch.mirrored is None:
            return latents
        return torch.where(batch.mirrored.view(-1, 1, 1, 1), latents.flip(-1), latents)

    def forward(self, batch: Batch, stop: Bool[Tensor, " n"] | None = None) -> Float[Tensor, "n classes"]:
        """The logits of a minibatch, those of replayed patterns last."""
        return self.decide(self.latents(batch), stop)


def _settle(classifier: Classifier, *_: object) -> None:
    """Blocks the front where `blocked` is set. Loading a state calls this too, for it may set `blocked`."""
    if classifier.blocked:
        classifier.front.requires_grad_(False).eval()


def _channels_last(x: Float[Tensor, "n *shape"]) -> Float[Tensor, "n *shape"]:
    """Images and maps in the memory format in which convolutions are fastest."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


def fingerprint(module: nn.Module) -> str:
    """A short name that changes with the module's structure, parameters and buffers.

    A change of a `forward` or of a plain attribute changes the name only where `str(module)` shows it.
    """
    digest = hashlib.sha256(str(module).encode())
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


class _Tracer(fx.Tracer):
    """Records how modules follow one another, looking only into those that contain the layer to cut after.

    Other modules stay whole: they may branch on their input or on their mode, and keep their names. With an `example`
    of the input, branches in a traced module may depend on sizes; those that the example takes are recorded.
    """

    def __init__(self, layer: nn.Module, example: Tensor | None) -> None:
        super().__init__()
        self.layer, self.example, self.measuring = layer, example, False

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return m is self.layer or all(module is not self.layer for module in m.modules())

    def to_bool(self, obj: fx.Proxy) -> bool:
        if self.example is None:
            return super().to_bool(obj)
        # On the meta device tensors have sizes but no values, so that a branch on a value still fails.
        graph, copies = fx.Graph(), {}
        graph.graph_copy(self.graph, copies)
        graph.output(copies[obj.node])
        self.measuring = True
        answer = bool(fx.GraphModule(copy.deepcopy(self.root).to("meta"), graph)(self.example.to("meta")))
        self.measuring = False
        return answer

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        return forward(*args, **kwargs) if self.measuring else super().call_module(m, forward, args, kwargs)


def cut(backbone: nn.Module, at: str, example: Tensor | None = None) -> tuple[nn.Module, nn.Module]:
    """Divides a network after its layer named `at`; both halves share the network's parameters and their names.

    Only the `forward`s of modules that contain the layer are traced, once in training mode and once in evaluation mode,
    and each half does in each mode what the network does.

    Args:
        backbone: any network that torch.fx can trace down to the layer.
        at: a name from `backbone.named_modules()`, such as `conv5_4/dw` or `layer2.0`; or `input`, before all of them.
        example: an input, for a network that branches on its size; the halves then take inputs of that size.

    Returns:
        The front, up to and including the layer, and the back, which takes the layer's output.

    Raises:
        UserError: there is no such layer, it is not used exactly once, another path goes around it, the two halves
            share parameters, or the network cannot be traced.
    """
    if at == INPUT:
        return nn.Identity(), backbone
    layer = _find(backbone, at)
    graphs = []
    for training in (True, False):
        with _mode(backbone, training):
            graphs.append(_divide(_trace(backbone, layer, at, example), backbone, layer, at))
    front, back = (_half(backbone, *both) for both in zip(*graphs, strict=True))
    if not set(front.parameters()).isdisjoint(back.parameters()):
        raise UserError(f"layers before and after {at!r} share parameters: cut where all their uses are on one side.")
    return front, back


@contextmanager
def _mode(module: nn.Module, training: bool) -> Iterator[None]:
    """Puts a module and all modules in it into one mode, and afterwards each of them back into its own."""
    before = {each: each.training for each in module.modules()}
    try:
        for each in before:
            each.training = training
        yield
    finally:
        for each, mode in before.items():
            each.training = mode


def _divide(nodes: list[fx.Node], backbone: nn.Module, layer: nn.Module, at: str) -> tuple[fx.Graph, fx.Graph]:
    """The graph up to and including the layer, and the graph of what follows it."""
    uses = [i for i, n in enumerate(nodes) if n.op == "call_module" and backbone.get_submodule(str(n.target)) is layer]
    if len(uses) != 1:
        raise UserError(f"layer {at!r} is used {len(uses)} times: cut after a layer that is used once.")
    last = nodes[uses[0]]
    before, after = nodes[: uses[0] + 1], nodes[uses[0] + 1 :]
    front, back = fx.Graph(), fx.Graph()
    front.output(_copy(before, front, {}, at)[last])
    # A parameter that `forward` names itself is not computed before the cut, so that both halves may read it.
    constants = [node for node in before if node.op == "get_attr"]
    _copy([*constants, *after], back, {last: back.placeholder("latents")}, at)
    return front, back


def _half(backbone: nn.Module, training: fx.Graph, evaluation: fx.Graph) -> nn.Module:
    """What a half of the network does in each mode, as one module."""
    both = fx.GraphModule(backbone, training), fx.GraphModule(backbone, evaluation)
    return both[0] if both[0].code == both[1].code else Half(backbone, *both)


class Half(nn.Module):
    """A half of a network whose `forward` depends on the mode.

    Its layers, parameters and buffers are those of the network, under their names there.

    Args:
        backbone: the network.
        training: what the half does in training.
        evaluation: what it does in evaluation.
    """

    def __init__(self, backbone: nn.Module, training: fx.GraphModule, evaluation: fx.GraphModule) -> None:
        super().__init__()
        self.codes = training.code, evaluation.code
        # Plain functions that read the layers of the module that they are given, so copies may share them.
        self.forwards = type(training).forward, type(evaluation).forward
        used = fx.Graph()
        for node in (*training.graph.nodes, *evaluation.graph.nodes):
            if node.op in ("call_module", "get_attr"):
                used.create_node(node.op, node.target)
        owner = fx.GraphModule(backbone, used)
        self._modules, self._parameters, self._buffers = owner._modules, owner._parameters, owner._buffers
        self.training = backbone.training

    def forward(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, "n *result"]:
        training, evaluation = self.forwards
        return training(self, x) if self.training else evaluation(self, x)

    def extra_repr(self) -> str:
        """Shows what each mode does, which the module's `fingerprint` must see."""
        return "in training: {}\nin evaluation: {}".format(*self.codes)


def _find(backbone: nn.Module, at: str) -> nn.Module:
    layers = dict(backbone.named_modules(remove_duplicate=False))
    del layers[""]
    if at not in layers:
        close = get_close_matches(at, layers, n=1)
        remedy = (
            f"did you mean {close[0]!r}?" if close else f"take one of {', '.join(n for n in layers if '.' not in n)}."
        )
        raise UserError(f"{type(backbone).__name__} has no layer {at!r}: {remedy}")
    return layers[at]


def _trace(backbone: nn.Module, layer: nn.Module, at: str, example: Tensor | None) -> list[fx.Node]:
    try:
        return list(_Tracer(layer, example).trace(backbone).nodes)
    except Exception as error:  # the network's own code ran on symbols, so anything may have been raised
        reason = str(error).split(". ")[0].splitlines()[0]
        raise UserError(
            f"{type(backbone).__name__} cannot be traced down to layer {at!r} ({reason}): "
            "cut after a layer that lies less deep, or write its forward without branches on values."
        ) from error


def _copy(nodes: list[fx.Node], graph: fx.Graph, copies: dict[fx.Node, fx.Node], at: str) -> dict[fx.Node, fx.Node]:
    """Appends nodes to a graph, which has the `copies` of earlier ones, and refuses a node whose input is not there."""
    for node in nodes:
        if node.op == "get_attr" and node.users.keys().isdisjoint(nodes):
            continue
        absent = [needed.name for needed in node.all_input_nodes if needed not in copies]
        if absent:
            raise UserError(
                f"layer {at!r} cannot be the replay layer, for a path (with the value {absent[0]!r}) goes around it: "
                "cut after the whole block that contains it."
            )
        copies[node] = graph.node_copy(node, copies.__getitem__)
    return copies
