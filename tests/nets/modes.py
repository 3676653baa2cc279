"""Each mode of replay, and each mean that can be subtracted from a row, for the tests of the heads."""

import pytest

from negreplay.recipe import Mean, Mode

MODES = pytest.mark.parametrize("mode", list(Mode))
MEANS = pytest.mark.parametrize("mean", list(Mean))
