"""Is one system better than another? Paired tests of two systems on the same test samples of one dataset.

Which test is used depends on the data, and is said beside each p-value:

- *McNemar* (Psychometrika 12, 1947), where a sample is answered once by each system and stands for itself: the samples
  that only one system gets right are a fair coin under the null hypothesis. Exact (binomial) below `FEW` of them, else
  chi-square with the continuity correction of Edwards (Psychometrika 13, 1948).
- *clustered*, where samples are grouped (McNemar's test takes each for independent evidence, which the images of one
  person or sequence are not) or answered several times. With d the right answers of one system less those of the other
  in a cluster, and K clusters: (K - 1)/K · (Σd)² / Σd², chi-square with one degree of freedom: Obuchowski (Statistics
  in Medicine 17:1495, 1998), as Yang, Sun and Hardin (Biometrical Journal 52:638, 2010) simplify it. Where fewer than
  `FEW` clusters have d ≠ 0, exact: every assignment of signs to the d is as likely as another (Fisher, The Design of
  Experiments, 1935, section 21); with one sample a cluster that is the exact McNemar test. Where all samples are one
  cluster, each stands for itself, as in the bootstrap of the intervals: the figures then hold for this one person.

Several seeds: a sample is answered once by each, and these answers are a cluster (or part of its subject's). So the
difference tested is that of the accuracies averaged over seeds, which the results table shows; a majority vote of the
seeds would test an ensemble that nobody reports. What the tests do not cover is how either system would fare when
trained on other data or with other seeds (Dietterich, Neural Computation 10:1895, 1998).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from fer.evaluation.intervals import difference_interval

FEW = 25  # discordant samples or clusters below which a test is exact
OTHER_SAMPLES = "not comparable: other test samples"
COLUMNS = (
    "dataset", "first", "second", "n", "clusters", "first_only_right", "second_only_right", "difference", "p", "test",
)  # fmt: skip


@dataclass(frozen=True)
class Predictions:
    """A system's predictions on its test samples, all folds and seeds together.

    `table` has one row for each answer, with columns sample (row of the dataset's index), cluster (what the sample
    shares with others), label and predicted (class codes).
    """

    name: str
    dataset: str
    table: pd.DataFrame


def comparisons(systems: list[Predictions]) -> pd.DataFrame:
    """Test every two systems that were tested on the same samples of one dataset against each other.

    The tests, when each is used and their sources are at the head of this module.

    Args:
        systems: the answers of each system; those of one dataset are compared.

    Returns:
        One row per pair. `n` samples, `clusters` of them; `first_only_right` and `second_only_right` count those that
        only one system gets right (with several seeds: the mean over all pairs of a seed of either); `difference` of
        the accuracies, first less second, in [-1, 1]; `p`, two-sided; `p_holm`, corrected over all pairs of the
        dataset; `test`, the one that was used. Pairs whose test samples differ are not comparable, `test` says so, and
        their figures are missing.

    Examples:
        >>> known = pd.DataFrame({"sample": range(8), "cluster": range(8), "label": 1})
        >>> one = Predictions("one", "jaffe", known.assign(predicted=[1, 1, 1, 1, 1, 1, 1, 0]))
        >>> two = Predictions("two", "jaffe", known.assign(predicted=[0, 0, 0, 0, 0, 0, 1, 0]))
        >>> row = comparisons([one, two]).iloc[0]
        >>> row["first_only_right"], row["difference"], row["test"]
        (np.float64(6.0), np.float64(0.75), 'McNemar, exact')
        >>> round(row["p"], 3)
        np.float64(0.031)
    """
    answers = [(system, by_sample(system.table)) for system in systems]
    rows = [
        {"dataset": first.dataset, "first": first.name, "second": second.name} | compare(one, two)
        for (first, one), (second, two) in combinations(answers, 2)
        if first.dataset == second.dataset
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"n": "Int64", "clusters": "Int64"})
    table = table.sort_values("dataset", kind="stable", ignore_index=True)
    table.insert(COLUMNS.index("test"), "p_holm", table.groupby("dataset")["p"].transform(holm))
    return table


def compare(one: pd.DataFrame, two: pd.DataFrame) -> dict:
    """Return the row of `comparisons`, without names, for the answers of two systems (see `by_sample`)."""
    if not one.index.equals(two.index):
        return {"test": OTHER_SAMPLES}
    share, other_share = one["right"] / one["asked"], two["right"] / two["asked"]
    first_only, second_only = (share * (1 - other_share)).sum(), (other_share * (1 - share)).sum()
    grouped = 1 < one["cluster"].nunique() < len(one)
    if not grouped and (one["asked"] == 1).all() and (two["asked"] == 1).all():
        p, test = mcnemar(int(first_only), int(second_only))
    else:
        gaps = one["right"] * two["asked"] - two["right"] * one["asked"]  # whole numbers, whatever the number of seeds
        p, test = clustered_test(gaps.groupby(one["cluster"] if grouped else one.index).sum().to_numpy())
    return {
        "n": len(one),
        "clusters": one["cluster"].nunique(),
        "first_only_right": float(first_only),
        "second_only_right": float(second_only),
        "difference": float((first_only - second_only) / len(one)),
        "p": p,
        "test": test,
    }


def paired_test(first: pd.DataFrame, second: pd.DataFrame) -> dict | None:
    """Return the difference of two systems on the same test samples, or None where these differ.

    Args:
        first, second: tables as those of `Predictions`.

    Returns:
        What `compare` returns, and the bounds `low` and `high` of the difference's 95 % interval, paired and clustered.
    """
    own, others = by_sample(first), by_sample(second)
    found = compare(own, others)
    if "difference" not in found:
        return None
    shares = (answers["right"] / answers["asked"] for answers in (own, others))
    interval = difference_interval(*(share.to_numpy() for share in shares), own["cluster"].to_numpy(str))
    return found | {"low": interval.low, "high": interval.high}


def by_sample(table: pd.DataFrame) -> pd.DataFrame:
    """Return how often each sample, in order, was answered (`asked`) and answered `right`, and its `cluster`."""
    table = table.assign(right=table["label"] == table["predicted"])
    return table.groupby("sample").agg(right=("right", "sum"), asked=("right", "size"), cluster=("cluster", "first"))


def mcnemar(first_only: int, second_only: int) -> tuple[float, str]:
    """Return two-sided p and the name of the test, given how many samples only one of the systems gets right."""
    discordant = first_only + second_only
    if discordant < FEW:
        from scipy.stats import binomtest  # as long to import as all else of the report

        p = binomtest(first_only, discordant).pvalue if discordant else 1.0
        return float(p), "McNemar, exact"
    corrected = max(abs(first_only - second_only) - 1, 0)
    return float(chdtrc(1, corrected**2 / discordant)), "McNemar, chi-square"


def clustered_test(differences: np.ndarray) -> tuple[float, str]:
    """Return two-sided p and the name of the test, given for each cluster the right answers of the first system less
    those of the second, int (clusters,).
    """
    if np.count_nonzero(differences) < FEW:
        return sign_test(differences), "clustered, exact"
    clusters = len(differences)
    statistic = (clusters - 1) / clusters * differences.sum() ** 2 / (differences**2).sum()
    return float(chdtrc(1, statistic)), "clustered, Obuchowski"


def sign_test(differences: np.ndarray) -> float:
    """Return the share of all assignments of signs to `differences`, int, whose sum is as far from 0 as theirs."""
    signed = differences[differences != 0] // max(np.gcd.reduce(differences), 1)
    sizes = np.abs(signed)
    ways = np.zeros(sizes.sum() + 1)  # in how many assignments the positive ones sum to 0, 1, 2, …
    ways[0] = 1
    for size in sizes:
        ways[size:] += ways[: len(ways) - size].copy()
    sums = 2 * np.arange(len(ways)) - sizes.sum()
    return float(ways[np.abs(sums) >= abs(signed.sum())].sum() / ways.sum())


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values corrected for their number by Holm's step-down method (Scandinavian Journal of Statistics 6:65,
    1979): the smallest times m, the next times m - 1, and so on, never below the one before. Missing ones stay missing.
    """
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)  # missing ones come last
    factors = np.isfinite(p).sum() - np.arange(len(p))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1)
    return corrected
