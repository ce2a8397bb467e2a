"""The hard subsets of FER+'s test part (Wang et al., Region Attention Networks, TIP 2020), as samples at hand.

    python benchmarks/subsets.py Challenge-condition-FER-dataset/FERplus_dir sources/ferplus/fer2013new.csv studies/real

The lists name images as fer2013new.csv does; they are looked up among its rows with usage PrivateTest. Writes
reports/real/subsets.csv (dataset, subset, sample) for FER2013 and FER+, whose pictures are the same. The lists are
those of github.com/kaiwang960112/Challenge-condition-FER-dataset at e43d7a0; of their 1,169 images at hand that are
turned by over 30°, the label in the list is that of most votes for 1,162.
"""

import sys
from pathlib import Path

import pandas as pd

from fer.layout import Layout
from fer.storage import read_frame

LISTS = {
    "occlusion": "jianfei_occlusion_list.txt",
    "pose over 30°": "pose_30_ferplus_list.txt",
    "pose over 45°": "pose_45_ferplus_list.txt",
}


def main(lists: Path, votes: Path, root: Path) -> None:
    table = pd.read_csv(votes)
    names = table["Image name"].str.removesuffix(".png").where(table["Usage"] == "PrivateTest")
    found = []
    for dataset in ("fer2013", "ferplus"):
        index = read_frame(Layout(root).index(dataset), ["sample", "path"])
        own = names.iloc[index["path"].str.rpartition("#")[2].astype(int)].to_numpy()
        for subset, file in LISTS.items():
            wanted = set((lists / file).read_text().split("\n"))
            wanted = {line.split()[0].replace("/", "_").split("_")[1].partition(".")[0] for line in wanted if line}
            samples = index["sample"][pd.Series(own).isin(wanted)]
            print(f"{dataset}, {subset}: {len(samples):,} of {len(wanted):,} images are at hand")
            found.append(pd.DataFrame({"dataset": dataset, "subset": subset, "sample": samples}))
    pd.concat(found).to_csv("reports/real/subsets.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
