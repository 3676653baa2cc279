"""The studies that ship with the library.

Their `hours` hold for all arms and seeds in float32. Those of `digits` and of the pooled studies were measured
(benchmarks/); all others are estimates from the time of a step, good to a factor of two. `--precision bfloat16` halves
them on processors that support it.
"""

from negreplay.errors import UserError, suggest
from negreplay.recipe import Study
from negreplay.studies.cifar50 import CIFAR50_NC, CIFAR50_NC_POOLED, CIFAR50_NIC, CIFAR50_NIC_POOLED
from negreplay.studies.cifar50_degraded import CIFAR50_DEGRADED, CIFAR50_DEGRADED_NIC
from negreplay.studies.cifar50_more import (
    CIFAR50_25X2,
    CIFAR50_NC_BLOCKED,
    CIFAR50_NC_NAIVE,
    CIFAR50_NC_PRINTED,
    CIFAR50_NC_SHARE,
    CIFAR50_NIC_PRINTED,
)
from negreplay.studies.cifar50_systems import CIFAR50_SYSTEMS, CIFAR50_SYSTEMS_POOLED, CIFAR50_SYSTEMS_RESNET18
from negreplay.studies.cifar50_winners import CIFAR50_WINNERS, CIFAR50_WINNERS_LAYERS, CIFAR50_WINNERS_NIC
from negreplay.studies.core50_nc import CORE50_NC, CORE50_NC_BLOCKED, CORE50_NC_NAIVE
from negreplay.studies.core50_nic import CORE50_NIC
from negreplay.studies.digits import DIGITS
from negreplay.studies.imagenet_nc import IMAGENET_25X40, IMAGENET_NC
from negreplay.studies.split_mnist import SPLIT_FASHION, SPLIT_MNIST

STUDIES = (
    DIGITS,
    CIFAR50_NC,
    CIFAR50_NIC,
    CIFAR50_NC_POOLED,
    CIFAR50_NIC_POOLED,
    CIFAR50_NC_PRINTED,
    CIFAR50_NIC_PRINTED,
    CIFAR50_NC_NAIVE,
    CIFAR50_NC_BLOCKED,
    CIFAR50_NC_SHARE,
    CIFAR50_25X2,
    CORE50_NC,
    CORE50_NIC,
    CORE50_NC_NAIVE,
    CORE50_NC_BLOCKED,
    IMAGENET_NC,
    IMAGENET_25X40,
    SPLIT_MNIST,
    SPLIT_FASHION,
    CIFAR50_SYSTEMS,
    CIFAR50_SYSTEMS_POOLED,
    CIFAR50_SYSTEMS_RESNET18,
    CIFAR50_WINNERS,
    CIFAR50_WINNERS_NIC,
    CIFAR50_WINNERS_LAYERS,
    CIFAR50_DEGRADED,
    CIFAR50_DEGRADED_NIC,
)


def study(name: str) -> Study:
    """The study of that name, one of `STUDIES`.

    Raises:
        UserError: there is none.
    """
    for known in STUDIES:
        if known.name == name:
            return known
    raise UserError(f"there is no study {name!r}: {suggest(name, [known.name for known in STUDIES])}")
