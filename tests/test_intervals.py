"""Intervals against closed forms, hand-made cases and simulated coverage."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from fer.evaluation.intervals import accuracy_interval, difference_interval, mean_interval
from fer.evaluation.predictions import clusters_of

PEOPLE = np.repeat(np.arange(6), 5)


@pytest.mark.parametrize("right", [0, 1, 17, 29, 30])
def test_the_interval_of_images_that_stand_for_themselves_is_clopper_pearson_s(right):
    found, exact = accuracy_interval(np.arange(30) < right), binomtest(right, 30).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    assert (found.method, found.clusters) == ("Clopper–Pearson", 30)


def test_30_of_30_is_88_4_to_100_percent_and_6_people_right_in_all_images_are_6_trials():
    alone, people = accuracy_interval(np.ones(30)), accuracy_interval(np.ones(30), PEOPLE)
    assert (round(100 * alone.low, 1), alone.high) == (88.4, 1.0)
    assert (round(100 * people.low, 1), people.high, people.clusters) == (54.1, 1.0, 6)
    assert accuracy_interval(np.zeros(30), PEOPLE).high == pytest.approx(1 - people.low)


def test_copies_of_an_image_add_no_certainty_where_they_are_known_to_be_copies():
    correct = np.random.default_rng(0).random(50) < 0.7
    copied, codes = np.repeat(correct, 20), np.repeat(np.arange(50), 20)
    alone, strangers, together = (
        accuracy_interval(*given) for given in ((correct,), (copied,), (copied, codes.astype(str)))
    )
    assert together.clusters == 50
    assert width(together) == pytest.approx(width(alone), rel=0.1) and width(strangers) < 0.5 * width(together)


def width(interval):
    return interval.high - interval.low


def test_the_images_of_a_single_person_stand_for_themselves_and_count_as_one_cluster():
    correct = np.arange(21) < 12
    found, alone = accuracy_interval(correct, np.repeat("KA", 21)), accuracy_interval(correct)
    assert (found.low, found.high, found.clusters) == (alone.low, alone.high, 1)


def test_seeds_that_agree_add_no_certainty_and_seeds_that_do_not_add_some():
    generator = np.random.default_rng(0)
    first, second = generator.random((2, 400)) < 0.7
    one, twice, both = (
        accuracy_interval(given) for given in (first, (first * 1.0 + first) / 2, (first * 1.0 + second) / 2)
    )
    assert twice == one and width(both) == pytest.approx(width(one) / 2**0.5, rel=0.1)


@pytest.mark.parametrize("people", [6, 40])
def test_the_interval_contains_the_accuracy_also_where_large_clusters_are_unlike_small_ones(people):
    sizes = np.array([2000] + [5] * (people - 1))
    correct = np.concatenate([np.arange(size) < (0.99 if size > 5 else 0.4) * size for size in sizes])
    found = accuracy_interval(correct, np.repeat(np.arange(people), sizes))
    assert 0 <= found.low < correct.mean() < found.high <= 1


@pytest.mark.parametrize("people", [2, 6, 40])
def test_swapping_right_and_wrong_or_the_systems_mirrors_the_interval(people):
    generator = np.random.default_rng(people)
    clusters = generator.integers(0, people, 300)
    first, second = generator.random((2, 300)) < generator.beta(8, 1, people)[clusters]
    right, wrong = accuracy_interval(first, clusters), accuracy_interval(~first, clusters)
    assert (right.low, right.high) == pytest.approx((1 - wrong.high, 1 - wrong.low), abs=3e-3)
    there, back = difference_interval(first, second, clusters), difference_interval(second, first, clusters)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=3e-3)
    assert there.low < first.mean() - second.mean() < there.high and there.clusters == people


def test_two_systems_that_answer_alike_are_not_certain_to_be_equal():
    for clusters in (None, PEOPLE):
        found = difference_interval(np.ones(30), np.ones(30), clusters)
        assert found.low == pytest.approx(-found.high) and found.high > 0.05


def test_a_mean_of_few_values_has_an_interval_by_student_s_t_and_one_value_has_none():
    values = np.array([0.1, 0.4, 0.2, 0.6])
    found = mean_interval(values)
    assert found.high - values.mean() == pytest.approx(3.1824 * values.std(ddof=1) / 2, rel=1e-4)
    alone = mean_interval(values[:1])
    assert alone.low == alone.high == 0.1


def coverage(people, accuracy, correlation, sizes, draws, seed=0):
    """Return how often in 100 the interval covers, where each cluster's accuracy is drawn from a beta distribution.

    `correlation` is that between the images of a cluster; `sizes`: the fewest and the most images in one.
    """
    generator, spread, covered = np.random.default_rng(seed), 1 / correlation - 1, 0
    for _ in range(draws):
        images = generator.integers(sizes[0], sizes[1] + 1, people)
        clusters = np.repeat(np.arange(people), images)
        right = generator.beta(accuracy * spread, (1 - accuracy) * spread, people)
        found = accuracy_interval(generator.random(len(clusters)) < right[clusters], clusters)
        covered += found.low <= accuracy <= found.high
    return 100 * covered / draws


@pytest.mark.parametrize(("people", "accuracy"), [(6, 0.6), (10, 0.9)])
def test_the_interval_of_few_people_covers_the_truth_about_95_times_in_100(people, accuracy):
    assert 93.5 <= coverage(people, accuracy, 0.1, (20, 100), draws=400) <= 98


SETTINGS = [(0.02, (5, 40)), (0.02, (50, 200)), (0.1, (5, 40)), (0.1, (50, 200)), (0.3, (20, 100))]


@pytest.mark.slow
@pytest.mark.parametrize(("correlation", "sizes"), SETTINGS)
@pytest.mark.parametrize("accuracy", [0.6, 0.9, 0.99])
@pytest.mark.parametrize("people", [6, 10, 30, 100])
def test_the_interval_covers_the_truth_92_to_98_times_in_100(people, accuracy, correlation, sizes):
    """Of 500 draws, with two standard errors to either side.

    At 0.99 few draws have errors in more than one cluster of so few: nothing is said of the most there.
    """
    found = coverage(people, accuracy, correlation, sizes, draws=500)
    print(
        f"{people} clusters of {sizes[0]} to {sizes[1]}, accuracy {accuracy}, correlation {correlation}: {found:.1f} %"
    )
    error = 100 * (0.08 * 0.92 / 500) ** 0.5
    assert found >= 92 - 2 * error
    if accuracy < 0.99 or people == 100:
        assert found <= 98 + 2 * error


def test_a_subject_a_sequence_and_an_image_of_the_same_name_are_three_clusters(tmp_path):
    names = {"subject": ["2", "2", None, None, None], "sequence": [None, "a", "2", None, "2"]}
    pd.DataFrame({"sample": range(5), **names}).to_parquet(tmp_path / "index.parquet")
    found = clusters_of(tmp_path / "index.parquet", np.array([0, 1, 2, 3, 4]))
    assert found.tolist() == ["subject:2", "subject:2", "sequence:2", "sample:3", "sequence:2"]
