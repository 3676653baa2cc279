"""The head and a source of replay in somebody's own training loop: nothing else of the library is needed."""

import torch
from sklearn.datasets import load_digits
from torch import nn

import negreplay as nr

pixels, target = load_digits(return_X_y=True)
x, y = torch.tensor(pixels).float().reshape(-1, 1, 8, 8) / 16, torch.tensor(target)
test = torch.arange(len(y)) % 4 == 3
rng = torch.Generator().manual_seed(0)
torch.manual_seed(0)

net = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU())
head = nr.ConsolidatedHead(128, 10, nr.Mode.NEGATIVE)  # replay changes no row of a past class
classifier = nr.Classifier(nn.Identity(), net, head, blocked=True)  # images are replayed, before all layers
generator = nr.Generator((1, 8, 8), classes=10, latent_dim=32, body="dense", width=128, silent=0.7)
recipe = nr.GeneratorRecipe(eta=0.1, first_iterations=300, iterations=100)
source = nr.Generated(generator, 100, recipe, nr.Device(), rng)

for index, classes in enumerate([[0, 1, 2, 3], [4], [5], [6], [7], [8], [9]]):
    current = torch.isin(y, torch.tensor(classes)) & ~test
    experience = nr.experience(x[current], y[current], classes=10, index=index)
    memory = source.recall()  # generated patterns of the past
    head.begin(experience.counts, nr.counts_of(memory, 10))
    optimizer = torch.optim.SGD(classifier.parameters(), lr=0.1 if index == 0 else 0.01, momentum=0.9)
    batches = nr.Mixture(experience.data, memory, minibatch=32)  # both kinds in proportion
    for _ in range(10):
        for batch in batches.read(batches.draw(rng)):
            loss = head.losses(classifier(batch), batch.labels, batch.replayed).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    head.end(experience.counts, nr.counts_of(memory, 10))  # rows of current classes are consolidated
    list(source.absorb(classifier, experience, memory))  # the generator learns, step by step
    print(index, f"{(head(net(x[test])).argmax(1) == y[test]).float().mean():.3f}")
