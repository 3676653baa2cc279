"""The studies that ship with the library."""

from negreplay.recipes.cifar50 import CIFAR50_NC, CIFAR50_NC_POOLED, CIFAR50_NIC, CIFAR50_NIC_POOLED
from negreplay.recipes.digits import DIGITS

STUDIES = (DIGITS, CIFAR50_NC, CIFAR50_NIC, CIFAR50_NC_POOLED, CIFAR50_NIC_POOLED)
