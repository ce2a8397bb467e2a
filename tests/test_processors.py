"""What is drawn and what is made of it without dlib are the same bytes, whatever instructions the processor has."""

import os
import subprocess
import sys

import pytest

# Of newer processors: off, as on one that lacks them. A library ignores what it does not know.
WITHOUT = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX2,FP16,AVX,SSE4.2,SSE4.1",
    "OPENCV_IPP": "disabled",
    "JSIMD_FORCENONE": "1",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F",
}
PRINT_RAW = """
import sys
from pathlib import Path
from fer import params, storage
from fer.datasets import adapter
from fer.stages.acquire import acquire
raw = Path(sys.argv[1]) / "raw" / "x.parquet"
for name in ("ckplus", "ferg", "viri"):
    acquire(adapter(name, params.load_dataset(name)), "synthetic", 12, raw)
    for row in storage.read_rows(raw, ["path", "sha256"]):
        print(name, row["path"], row["sha256"])
"""
PRINT_CROPS = """
import hashlib
import numpy as np
from fer.datasets.synthetic import render
from fer.faces import blocks, crops, fingerprint, landmarks
for size in (48, 100, 192, 400):
    for subject in range(6):
        rendering = render("happiness", subject, 0, size=size)
        grey = crops.grey(rendering.visible)
        made = [
            crops.similarity(rendering.visible, rendering.landmarks, 96),
            crops.distributed(rendering.visible, 64),
            blocks.cut(grey, *(lambda places: (places.eyes, places.angle))(blocks.boxes(rendering.landmarks, 0.3)), 32),
            landmarks.prepare(grey, 2.5, 0.25)[0],
        ]
        digests = [hashlib.sha256(np.ascontiguousarray(image)).hexdigest() for image in made]
        print(size, subject, fingerprint.pixels(grey), fingerprint.perceptual_hash(grey), *digests)
"""


@pytest.mark.parametrize("code", [PRINT_RAW, PRINT_CROPS], ids=["drawn images", "crops, blocks and fingerprints"])
def test_every_x86_64_processor_makes_the_same_bytes(code, tmp_path):
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / name)],
            env=os.environ | {"OMP_NUM_THREADS": "1"} | instructions,
            text=True,
            capture_output=True,
            check=True,
        ).stdout.splitlines()
        for name, instructions in (("all", {}), ("few", WITHOUT))
    ]
    assert len(outputs[0]) > 20 and outputs[0] == outputs[1]
