"""Generative negative replay in a module of Lightning: one `fit` for each experience."""

import logging
import warnings

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn

import negreplay as nr

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it would greet us before each experience
warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)  # which Lightning causes itself


class Digits(lightning.LightningModule):
    """A network of one's own with the head that tells current patterns from replayed ones."""

    def __init__(self):
        super().__init__()
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU())
        self.head = nr.ConsolidatedHead(128, 10, nr.Mode.NEGATIVE)
        self.classifier = nr.Classifier(nn.Identity(), net, self.head, blocked=False)

    def training_step(self, batch, _):
        return self.head.losses(self.classifier(batch), batch.labels, batch.replayed).mean()

    def configure_optimizers(self):
        first = not self.head.seen.any()
        return torch.optim.SGD(self.classifier.parameters(), lr=0.1 if first else 0.01, momentum=0.9)


class Epochs:
    """Minibatches of current and replayed patterns, drawn anew in each epoch, in place of a DataLoader."""

    def __init__(self, mixture, rng):
        self.mixture, self.rng = mixture, rng

    def __len__(self):
        return self.mixture.steps

    def __iter__(self):
        return self.mixture.read(self.mixture.draw(self.rng))


pixels, target = load_digits(return_X_y=True)
x, y = torch.tensor(pixels).float().reshape(-1, 1, 8, 8) / 16, torch.tensor(target)
test = torch.arange(len(y)) % 4 == 3
rng = torch.Generator().manual_seed(0)
lightning.seed_everything(0, verbose=False)
model = Digits()
generator = nr.Generator((1, 8, 8), classes=10, latent_dim=32, body="dense", width=64, silent=0.7)
source = nr.Generated(
    generator, 100, nr.GeneratorRecipe(eta=0.1, first_iterations=100, iterations=50), nr.Device(), rng
)

for index, classes in enumerate([[0, 1, 2, 3], [4, 5], [6, 7], [8, 9]]):
    current = torch.isin(y, torch.tensor(classes)) & ~test
    experience = nr.experience(x[current], y[current], classes=10, index=index)
    memory = source.recall()
    counts = experience.counts, nr.counts_of(memory, 10)
    model.head.begin(*counts)
    trainer = lightning.Trainer(accelerator="cpu", max_epochs=6, barebones=True)
    trainer.fit(model, Epochs(nr.Mixture(experience.data, memory, minibatch=32), rng))
    model.head.end(*counts)
    list(source.absorb(model.classifier, experience, memory))
    scores = model.classifier.decide(x[test])
    print(index, f"{(scores.argmax(1) == y[test]).float().mean():.3f}")
