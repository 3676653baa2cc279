"""Sums over patterns, which do not depend on the order and add up: counts, means, and how patterns vary."""

from negreplay.statistics.maps import (
    Diagonals as Diagonals,
)
from negreplay.statistics.maps import (
    Separable as Separable,
)
from negreplay.statistics.sums import (
    LARGEST as LARGEST,
)
from negreplay.statistics.sums import (
    ClassMeans as ClassMeans,
)
from negreplay.statistics.sums import (
    Deviations as Deviations,
)
from negreplay.statistics.sums import (
    Sketches as Sketches,
)
from negreplay.statistics.sums import (
    Triangle as Triangle,
)
from negreplay.statistics.sums import (
    signed_roots as signed_roots,
)
