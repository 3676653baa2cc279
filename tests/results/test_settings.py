"""Where arms differ, and what was changed in a shipped study."""

from dataclasses import replace

from imagined import six_arms

from negreplay.recipe import GeneratorRecipe, Recipe
from negreplay.results.settings import changes, differences


def faster(recipe: Recipe, rate: float = 0.2) -> Recipe:
    assert recipe.following
    return replace(recipe, following=replace(recipe.following, lr_head=rate))


def test_what_few_arms_have_otherwise_comes_first_and_a_generator_s_settings_are_its_own():
    none, pr_od, pr_gd, *_ = six_arms().recipes
    shown = differences([none, pr_od, pr_gd, replace(faster(pr_gd), name="faster")])
    assert shown[0] == ("following.lr_head", ["0.1", "0.1", "0.1", "0.2"])
    fields = [field for field, _ in shown]
    assert "generator" in fields and not any(field.startswith("generator.") for field in fields)


def test_settings_of_generators_are_compared_among_the_arms_that_have_one():
    none, _, pr_gd, *_ = six_arms().recipes
    other = replace(pr_gd, name="other", generator=GeneratorRecipe(epochs=7))
    assert ("generator.epochs", ["—", "4", "7"]) in differences([none, pr_gd, other])


def test_changes_of_a_shipped_study_are_named_with_the_arms_that_have_them():
    shipped = six_arms()
    assert changes(shipped, shipped) == []
    assert changes(replace(shipped, recipes=shipped.recipes[:2], seeds=(7,)), shipped) == []
    one = replace(shipped, recipes=(*shipped.recipes[:-1], faster(shipped.recipes[-1])))
    assert changes(one, shipped) == [("following.lr_head: 0.1 → 0.2", "NR-RD")]
    every = replace(shipped, recipes=tuple(map(faster, shipped.recipes)))
    assert changes(every, shipped) == [("following.lr_head: 0.1 → 0.2", "all arms")]
    added = replace(shipped, recipes=(*shipped.recipes, replace(shipped.recipes[0], name="mine")))
    assert changes(added, shipped) == [("a new arm", "mine")]
