"""The estimator keeps all of scikit-learn's conventions, with every learner."""

from typing import Any

from sklearn.utils.estimator_checks import parametrize_with_checks

from negreplay.bridges.estimator import NegreplayClassifier
from negreplay.recipe import CLOSED_FORM, KLDARecipe, RanPACRecipe

SMALL = {"klda": KLDARecipe(units=300), "ranpac": RanPACRecipe(units=300)}


@parametrize_with_checks(
    [NegreplayClassifier(SMALL.get(name, name)) for name in CLOSED_FORM], expected_failed_checks=lambda _: {}
)
def test_a_convention_holds(estimator: NegreplayClassifier, check: Any):
    check(estimator)
