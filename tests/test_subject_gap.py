"""The leak made visible: the same faces, the same classifier, split with and without the test subjects in train.

Five subjects drawn 16 times in each of seven expressions, in four populations; ridge regression on 24×24 grey pixels;
both splits train on equally many images. Measured: accuracy 0.876 where test shows subjects of train, 0.763 where it
shows others. Each of the 20 subjects against itself, the gap is 0.113 with a standard error of 0.021.
"""

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeClassifier
from threadpoolctl import threadpool_limits

from fer import params, protocols
from fer.datasets.synthetic import render

EXPRESSIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
POPULATIONS, SUBJECTS, TAKES, SIDE = 4, 5, 16, 24
NAMES = [f"s{subject}" for subject in range(SUBJECTS)]


@pytest.fixture(scope="module")
def dataset():
    return params.load_dataset("fer2013").model_copy(update={"subjects": NAMES})


@pytest.fixture(scope="module")
def populations():
    return [population(seed) for seed in range(POPULATIONS)]


def population(seed):
    """Return the index of one population and its images: float (samples, pixels), each of mean 0 and deviation 1."""
    drawn = [(name, code, take) for name in NAMES for code in range(len(EXPRESSIONS)) for take in range(TAKES)]
    index = pd.DataFrame(drawn, columns=["subject", "label", "take"]).rename_axis("sample").reset_index()
    return index.assign(part=None), np.stack(
        [
            pixels(render(EXPRESSIONS[code], NAMES.index(name), take, size=2 * SIDE, seed=seed))
            for name, code, take in drawn
        ]
    )


def pixels(face):
    grey = cv2.resize(cv2.cvtColor(face.visible, cv2.COLOR_BGR2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return (grey.ravel() - grey.mean()) / grey.std()


def accuracy_of_subjects(index, images, split, size):
    """Return the accuracy on each subject, trained on `size` images of each fold's train."""
    tested = []
    for _, rows in split.groupby("fold"):
        train = rows.loc[rows["part"] == "train", "sample"].sample(size, random_state=0)
        test = rows.loc[rows["part"] == "test", "sample"]
        with threadpool_limits(1):  # threads that wait for each other's cores make this twenty times slower
            classifier = RidgeClassifier(alpha=30).fit(images[train], index["label"][train])
        tested.append(index.loc[test].assign(correct=classifier.predict(images[test]) == index["label"][test]))
    return pd.concat(tested).groupby("subject")["correct"].mean()


def test_subjects_on_both_sides_of_a_split_raise_the_accuracy(dataset, populations):
    gaps, accuracies = [], []
    for index, images in populations:
        size = len(index) * (SUBJECTS - 2) // SUBJECTS  # what leaving a subject out for test and one for val leaves
        draws = [protocols.assign("stratified_70_15_15", index, dataset, seed) for seed in range(4)]
        dependent = pd.concat([accuracy_of_subjects(index, images, draw, size) for draw in draws], axis=1).mean(axis=1)
        apart = protocols.assign("leave_one_subject_out", index, dataset, 0)
        independent = accuracy_of_subjects(index, images, apart, size)
        gaps.extend(dependent - independent)
        accuracies.append((dependent.mean(), independent.mean()))
    gap, error = np.mean(gaps), np.std(gaps, ddof=1) / np.sqrt(len(gaps))
    assert gap > 0.05 and gap > 3 * error, f"accuracies {np.mean(accuracies, 0)}, gap {gap:.3f} ± {error:.3f}"
