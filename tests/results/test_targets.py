"""The paper's numbers, typed once more."""

from negreplay.results.targets import benchmark_beside, target, targets


def test_every_row_of_the_three_tables_is_there():
    assert [sum(t.table == table for t in targets()) for table in (1, 2, 3)] == [8, 8, 11]


def test_numbers_as_printed():
    printed = [(t.table, t.benchmark, t.arm, str(t)) for t in targets()]
    assert (1, "CORe50 NC", "nr-gd", "44.63 ± 0.77") in printed
    assert (1, "ImageNet-1000 NC", "pr-gd", "18.29 ± 0.07") in printed
    assert (2, "CORe50 NC", "nr-od", "68.60 ± 1.38") in printed
    assert (2, "CORe50 NIC", "nr-rd", "58.85 ± 0.58") in printed
    assert (3, "ImageNet-1000 25x40", "ar1", "33.10") in printed


def test_the_gain_of_negative_over_positive_generated_replay():
    def average(arm: str) -> float:
        found = target(1, "CORe50 NC", arm)
        assert found
        return found.value

    # Where the text says "more than 24 points", Table 1 gives 10.58.
    assert round(average("nr-gd") - average("pr-gd"), 2) == 10.58


def test_which_study_stands_beside_which_benchmark():
    assert benchmark_beside("cifar50-nc") == benchmark_beside("cifar50-nc-short") == "CORe50 NC"
    assert benchmark_beside("cifar50-nic") == "CORe50 NIC"
    assert benchmark_beside("imagenet-nc") == benchmark_beside("cifar50-25x2") == "ImageNet-1000 NC"
    assert benchmark_beside("digits") is None
    # No table has numbers of the naive arms, whose names are those of the others.
    assert benchmark_beside("core50-nc-naive") is benchmark_beside("cifar50-nc-naive") is None


def test_a_number_that_is_not_printed():
    assert target(2, "CORe50 NC", "pr-od") is None
    assert target(2, None, "nr-gd") is None
    found = target(2, "CORe50 NC", "core50-nc/nr-gd")
    assert found
    assert found.value == 68.87
