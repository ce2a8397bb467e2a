"""Detectors by what `fer predict` makes of them: accuracy on FER2013's real test images, each in a larger picture.

    python benchmarks/end_to_end.py studies/real --count 400

The images are shown as in `detectors.py`. `found`: images with a face; `right of found`: of these, labelled rightly;
`right of all`: an image without a face counts as wrong. The crops of the benchmark itself (`align`) are cut otherwise,
so the accuracy of the released model is another. One thread.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from detectors import picture

import fer
from fer import params
from fer.faces import crops
from fer.layout import Layout
from fer.storage import read_frame, read_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder of a study with real FER2013")
    parser.add_argument("--count", type=int, default=400, help="test images, at even spacing")
    parser.add_argument("--model", default="fer2013-fer_baseline")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    layout, recognizer = Layout(arguments.root), fer.load(arguments.model, threads=1)
    split = read_frame(layout.split("fer2013", "official")).query("part == 'test'")
    index = read_frame(layout.index("fer2013")).set_index("sample").loc[split["sample"]]
    chosen = index.iloc[np.linspace(0, len(index) - 1, arguments.count).round().astype(int)]
    wanted = dict(zip(chosen["path"], chosen["label"], strict=True))
    rows = [row for row in read_rows(layout.raw("fer2013"), ["path", "image"]) if row["path"] in wanted]
    names = params.load_dataset("fer2013").classes
    labels = [names[wanted[row["path"]]] for row in rows]
    pictures = [picture(crops.decode(row["image"], 1, row["path"])) for row in rows]
    print("| detector | n | found % | right of found % | right of all % |\n| :-- | --: | --: | --: | --: |")
    for detector in ("hog", "blazeface"):
        faces = [recognizer(image, detector=detector) for image in pictures]
        found = np.array([bool(each) for each in faces])
        right = np.array([bool(each) and each[0].label == label for each, label in zip(faces, labels, strict=True)])
        figures = f"{found.mean():.1%} | {right[found].mean():.1%} | {right.mean():.1%}".replace("%", "")
        print(f"| {detector} | {len(rows)} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
