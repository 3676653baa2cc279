"""The paper's numbers, typed once more."""

import math
import re

from negreplay.results.targets import target, targets


def test_every_row_of_the_three_tables_is_there():
    assert [sum(t.table == table for t in targets()) for table in ("1", "2", "3")] == [8, 8, 11]


def test_numbers_as_printed():
    printed = [(t.table, t.benchmark, t.arm, str(t)) for t in targets()]
    assert ("1", "CORe50 NC", "nr-gd", "44.63 ± 0.77") in printed
    assert ("1", "ImageNet-1000 NC", "pr-gd", "18.29 ± 0.07") in printed
    assert ("2", "CORe50 NC", "nr-od", "68.60 ± 1.38") in printed
    assert ("2", "CORe50 NIC", "nr-rd", "58.85 ± 0.58") in printed
    assert ("3", "ImageNet-1000 25x40", "ar1", "33.10") in printed


def test_the_gain_of_negative_over_positive_generated_replay():
    def average(arm: str) -> float:
        found = target("1", "CORe50 NC", arm)
        assert found
        return found.value

    # Where the text says "more than 24 points", Table 1 gives 10.58.
    assert round(average("nr-gd") - average("pr-gd"), 2) == 10.58


def test_a_number_that_is_not_printed():
    assert target("2", "CORe50 NC", "pr-od") is None
    assert target("2", None, "nr-gd") is None
    found = target("2", "CORe50 NC", "nr-gd")
    assert found
    assert found.value == 68.87


def test_what_is_published_of_split_mnist_has_a_tolerance():
    """Standard errors are typed in the note; 2 sqrt(SE^2 + n SE^2 / 5) for n seeds beside our 5."""
    found = [t for t in targets() if t.table == "split-mnist"]
    assert len(found) == 33
    for t in found:
        match = re.fullmatch(r"final; standard error ([\d.]+) over (\d+) seeds", t.note)
        assert match and t.tolerance is not None
        error, seeds = float(match[1]), int(match[2])
        assert t.tolerance == round(2 * math.sqrt(error**2 + seeds * error**2 / 5), 2)


def test_some_published_numbers_of_split_mnist():
    published = {(t.arm, t.source): t.value for t in targets()}
    assert published["class-dgr", "van de Ven & Tolias (2018)"] == 91.24
    assert published["domain-lwf", "van de Ven & Tolias (2018)"] == 71.02
    assert published["task-ewc", "van de Ven & Tolias (2018)"] == 85.48
    assert published["task-ewc", "van de Ven & Tolias (2019)"] == 98.64
    assert published["class-icarl", "van de Ven & Tolias (2019)"] == 94.57
    assert published["class-slda", "van de Ven et al. (2021)"] == 87.30
