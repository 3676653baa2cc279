"""Options that commands which learn studies share: what they are given, and where they compute."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from negreplay.prepare import Places


@dataclass(frozen=True)
class Where:
    """Where images and weights are, and what computes."""

    backbone: str | None = None
    """Another network, such as timm/mobilenetv1_100, with random weights unless --pretrained is given."""
    pretrained: bool = False
    """Download the weights that timm has for the network."""
    data: Path = field(default_factory=lambda: Path(os.environ.get("NEGREPLAY_DATA", "data")))
    """The images: a zip, a folder <split>/<class>/<image>, or a folder that holds it [$NEGREPLAY_DATA]."""
    weights: Path = field(default_factory=lambda: Path(os.environ.get("NEGREPLAY_WEIGHTS", "weights")))
    """Pretrained weights: a file, or a folder that holds it [$NEGREPLAY_WEIGHTS]."""
    store: Path | None = field(default_factory=lambda: cache() / "latents")
    """Folder where encoded latents are kept and shared between runs; None encodes anew each time."""
    device: str = "cpu"
    """Where to compute: cpu, cuda or mps."""
    threads: int = 1
    """Threads of each arm; numbers depend on it in their last bits, but never on --jobs."""

    def places(self, precision: Literal["float32", "bfloat16"] = "float32") -> "Places":
        """The same, for a run."""
        from negreplay.devices import Device
        from negreplay.prepare import Places

        store = self.store.absolute() if self.store else None
        return Places(self.data.absolute(), self.weights.absolute(), store, Device(self.device, precision))


def cache() -> Path:
    """The user's folder for what can be computed again; a temporary one for a user without a home."""
    try:
        home = Path.home() / ".cache"
    except RuntimeError:
        home = Path(gettempdir())
    return Path(os.environ.get("XDG_CACHE_HOME") or home) / "negreplay"
