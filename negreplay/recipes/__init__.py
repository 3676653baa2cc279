"""The studies that ship with the library."""

from negreplay.recipes.cifar50 import CIFAR50_NC, CIFAR50_NIC
from negreplay.recipes.digits import DIGITS

STUDIES = (DIGITS, CIFAR50_NC, CIFAR50_NIC)
