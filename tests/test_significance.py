"""Paired tests of two systems: against scipy, hand-made tables, each other, and their rate of false alarms."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, chi2

from fer.evaluation.significance import (
    FEW,
    OTHER_SAMPLES,
    Predictions,
    clustered_test,
    comparisons,
    holm,
    mcnemar,
    sign_test,
)


def system(name, *right, dataset="fer2013", clusters=None, samples=None):
    """A system whose predictions are right where `right` says, one array a seed; the label is always 1."""
    samples = np.arange(len(right[0])) if samples is None else samples
    clusters = samples.astype(str) if clusters is None else clusters
    tables = [
        pd.DataFrame({"sample": samples, "cluster": clusters, "label": 1, "predicted": np.asarray(seed, int)})
        for seed in right
    ]
    return Predictions(name, dataset, pd.concat(tables, ignore_index=True))


def table(both, first_only, second_only, neither):
    """Who is right on each sample of a two-by-two table."""
    counts = (both, first_only, second_only, neither)
    return np.repeat([1, 1, 0, 0], counts), np.repeat([1, 0, 1, 0], counts)


def test_few_discordant_samples_are_tested_exactly():
    first, second = table(40, 9, 2, 5)
    row = comparisons([system("a", first), system("b", second)]).iloc[0]
    assert row["test"] == "McNemar, exact" and row["p"] == binomtest(2, 11).pvalue
    assert row["p"] == pytest.approx(2 * (1 + 11 + 55) / 2**11), "by hand: at most 2 heads of 11, both tails"
    assert (row["n"], row["first_only_right"], row["second_only_right"]) == (56, 9, 2)
    assert row["difference"] == pytest.approx(first.mean() - second.mean())


def test_many_discordant_samples_are_tested_by_the_chi_square_of_edwards():
    row = comparisons([system(name, right) for name, right in zip("ab", table(60, 30, 12, 8), strict=True)]).iloc[0]
    assert row["test"] == "McNemar, chi-square" and row["p"] == pytest.approx(chi2.sf((30 - 12 - 1) ** 2 / 42, 1))
    assert row["p"] == pytest.approx(binomtest(12, 42).pvalue, rel=0.15)


@pytest.mark.parametrize("discordant", [0, 2, 24, 26, 400])
def test_as_many_on_either_side_is_no_evidence_at_all(discordant):
    assert mcnemar(discordant // 2, discordant // 2)[0] == 1


@pytest.mark.parametrize("right", [table(40, 9, 2, 5), table(60, 30, 12, 8)])
@pytest.mark.parametrize("per_cluster", [1, 4])
def test_swapping_the_systems_changes_the_sign_and_nothing_else(right, per_cluster):
    clusters = np.arange(len(right[0])) // per_cluster
    pair = [system(name, row, clusters=clusters) for name, row in zip("ab", right, strict=True)]
    one, other = comparisons(pair).iloc[0], comparisons(pair[::-1]).iloc[0]
    assert one["p"] == other["p"] < 1 and one["test"] == other["test"]
    assert one["difference"] == -other["difference"] and one["first_only_right"] == other["second_only_right"]


def test_the_exact_clustered_test_with_one_sample_a_cluster_is_mcnemar_s_exact_one():
    for first, second in itertools.product(range(13), range(12)):
        differences = np.repeat([1, -1, 0], (first, second, 20))
        assert clustered_test(differences) == (pytest.approx(mcnemar(first, second)[0]), "clustered, exact")


def test_obuchowski_s_test_with_one_sample_a_cluster_is_mcnemar_s_without_the_continuity_correction():
    p, test = clustered_test(np.repeat([1, -1, 0], (60, 35, 905)))
    assert test == "clustered, Obuchowski"
    assert p == pytest.approx(chi2.sf(999 / 1000 * (60 - 35) ** 2 / (60 + 35), 1))
    assert p == pytest.approx(mcnemar(60, 35)[0], rel=0.3)


def test_obuchowski_s_test_is_the_one_of_proportions_with_variances_between_clusters():
    """The statistic from its definition: both proportions, their variances and covariance."""
    generator = np.random.default_rng(0)
    sizes = generator.integers(1, 9, 60)
    first, second = generator.binomial(sizes, 0.7), generator.binomial(sizes, 0.6)
    clusters, total = len(sizes), sizes.sum()
    pooled = (first.sum() + second.sum()) / (2 * total)
    residuals = np.stack([first, second]) - sizes * pooled
    (variance, covariance), (_, other) = clusters / (clusters - 1) * residuals @ residuals.T / total**2
    statistic = ((first.sum() - second.sum()) / total) ** 2 / (variance + other - 2 * covariance)
    assert clustered_test(first - second)[0] == pytest.approx(chi2.sf(statistic, 1))


def test_the_exact_clustered_test_counts_every_assignment_of_signs():
    differences = np.array([6, -2, 4, 0, 10, -6, 2])
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product([1, -1], repeat=len(differences))]
    assert sign_test(differences) == pytest.approx(np.mean(np.array(sums) >= abs(differences.sum())))


def test_images_of_one_person_that_agree_are_less_evidence_than_as_many_strangers():
    first, second = np.repeat(table(20, 8, 2, 4), 10, axis=1)
    people = np.repeat([f"person {number}" for number in range(34)], 10)
    strangers, grouped = (
        comparisons([system("a", first, clusters=names), system("b", second, clusters=names)]).iloc[0]
        for names in (None, people)
    )
    assert strangers["test"] == "McNemar, chi-square" and grouped["test"] == "clustered, exact"
    assert grouped["p"] == pytest.approx(mcnemar(8, 2)[0]) and strangers["p"] < 1e-6
    assert strangers["difference"] == grouped["difference"]


def test_the_images_of_a_single_person_are_tested_one_by_one():
    first, second = table(40, 9, 2, 5)
    alone = comparisons([system(name, right, clusters="KA") for name, right in (("a", first), ("b", second))]).iloc[0]
    assert (alone["p"], alone["test"]) == mcnemar(9, 2)


@pytest.mark.parametrize("people", [20, 60])
def test_the_clustered_tests_raise_a_false_alarm_about_5_times_in_100_where_mcnemar_does_many_times_more(people):
    generator, alarms = np.random.default_rng(0), {"clustered": 0, "McNemar": 0}
    for _ in range(400):
        leaning = generator.beta(0.5, 0.5, people)  # for whom of the two systems a person's images are the easier ones
        first_only = generator.binomial(20, leaning)
        alarms["clustered"] += clustered_test(2 * first_only - 20)[0] < 0.05
        alarms["McNemar"] += mcnemar(first_only.sum(), 20 * people - first_only.sum())[0] < 0.05
    assert 5 <= alarms["clustered"] <= 35 and alarms["McNemar"] > 150


def test_several_seeds_are_compared_by_their_mean_accuracy_with_each_sample_s_answers_together():
    generator = np.random.default_rng(0)
    first, second = generator.random((3, 200)) < 0.7, generator.random((3, 200)) < 0.6
    pair = [system("a", *first), system("b", *second)]
    row = comparisons(pair).iloc[0]
    assert row["n"] == 200 and row["difference"] == pytest.approx(first.mean() - second.mean())
    assert row["first_only_right"] - row["second_only_right"] == pytest.approx(200 * row["difference"])
    assert (row["p"], row["test"]) == clustered_test(first.sum(0) - second.sum(0))
    copies = comparisons([system("a", *[first[0]] * 3), system("b", *[second[0]] * 3)]).iloc[0]
    assert copies["p"] == pytest.approx(clustered_test(first[0] * 1 - second[0])[0]), "seeds that agree add no evidence"


def test_a_different_number_of_seeds_is_compared_by_mean_accuracy_too():
    first, second = table(40, 9, 2, 5)
    row = comparisons([system("a", first), system("b", second, second)]).iloc[0]
    assert row["p"] == pytest.approx(mcnemar(9, 2)[0]) and row["difference"] == pytest.approx(7 / 56)


def test_systems_with_other_test_samples_are_not_compared():
    first, second = table(40, 9, 2, 5)
    later = np.arange(len(first)) + 1
    for samples, right in ((later, second), (later[:-1], second[1:])):
        row = comparisons([system("a", first), system("b", right, samples=samples)]).iloc[0]
        assert row["test"] == OTHER_SAMPLES and row[["n", "difference", "p", "p_holm"]].isna().all()


def test_the_order_of_samples_and_of_folds_does_not_matter():
    first, second = table(40, 9, 2, 5)
    order = np.random.default_rng(0).permutation(len(first))
    straight = comparisons([system("a", first), system("b", second)])
    shuffled = comparisons([system("a", first), system("b", second[order], samples=order)])
    pd.testing.assert_frame_equal(straight, shuffled)


def test_every_two_systems_of_one_dataset_are_compared_and_none_of_two():
    rights = {name: np.random.default_rng(seed).random(90) < 0.6 for seed, name in enumerate("abc")}
    systems = [system(name, right) for name, right in rights.items()]
    systems += [system("d", rights["a"], dataset="jaffe"), system("e", rights["b"], dataset="jaffe")]
    pairs = comparisons(systems)
    assert pairs[["dataset", "first", "second"]].to_numpy().tolist() == [
        ["fer2013", "a", "b"],
        ["fer2013", "a", "c"],
        ["fer2013", "b", "c"],
        ["jaffe", "d", "e"],
    ]
    assert pairs["p_holm"].to_numpy()[:3] == pytest.approx(holm(pairs["p"][:3]))
    assert pairs["p_holm"].iloc[3] == pairs["p"].iloc[3], "a dataset's only pair needs no correction"


def test_holm_s_correction_is_the_one_worked_out_by_hand():
    corrected = holm([0.01, 0.04, 0.03, 0.005])  # 4·0.005, 3·0.01, 2·0.03, and 0.04, which may not fall below the last
    assert corrected == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]).tolist() == [1, 1]


def test_holm_s_correction_keeps_the_order_never_lowers_and_lies_below_bonferroni_s():
    p = np.random.default_rng(0).random(50) ** 4
    corrected = holm(p)
    assert (np.diff(corrected[np.argsort(p)]) >= 0).all()
    assert (corrected >= p).all() and (corrected <= np.minimum(50 * p, 1)).all()


def test_pairs_that_are_not_comparable_do_not_count_in_holm_s_correction():
    assert holm([0.02, np.nan, 0.01])[[0, 2]] == pytest.approx([0.02, 0.02]) and np.isnan(holm([np.nan, 0.5])[0])


def test_a_study_of_one_system_has_nothing_to_compare():
    assert comparisons([system("a", np.ones(FEW))]).empty
