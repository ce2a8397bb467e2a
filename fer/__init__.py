"""fer: a reproducible benchmark of facial-expression recognition.

The stages are acquire → index → align → blocks → split → augment → train → evaluate → explain → report. Each
word is a module in `fer.stages`, a sub-command of `fer`, a file in `workflow/rules/` and a folder in `logs/`.

Imports run one way: cli → stages → (sources, datasets, faces, leakage, systems, training, evaluation, explain,
reporting, tracking) → (params, protocols, layout, storage, errors).
"""

import os

# A small file may claim to be an enormous image: 134 megapixels at most are decoded, more than any camera of 108
# megapixels takes. OpenCV reads this when it is first imported.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 27))

__version__ = "0.1.0"


def load(name, device: str = "cpu", threads: int | None = None):
    """Return a recogniser of expressions that is ready to use; see `fer.recognition.load`.

    Examples:
        >>> import fer
        >>> from fer.datasets import synthetic
        >>> recognizer = fer.load("fer2013-fer_baseline")
        >>> faces = recognizer(synthetic.render("happiness", subject=1, take=0).visible)  # or the path of a photograph
        >>> faces[0].label in recognizer.classes
        True
    """
    from fer.recognition import load

    return load(name, device, threads)
