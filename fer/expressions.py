"""The label space that all datasets share: eight expressions, into which each dataset's own class names map."""

from __future__ import annotations

from fer.errors import FerError

EXPRESSIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral", "contempt")
SYNONYMS = {
    "angry": "anger",
    "disgusted": "disgust",
    "afraid": "fear",
    "fearful": "fear",
    "scared": "fear",
    "happy": "happiness",
    "joy": "happiness",
    "joyful": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
    "suprise": "surprise",
    "contemptuous": "contempt",
}


def expression(class_name: str) -> str:
    """Return the common name of a dataset's class: `expression("happy") == "happiness"`."""
    name = class_name.strip().lower()
    name = name if name in SYNONYMS or name in EXPRESSIONS else name.removesuffix("s")  # fears, surprises
    name = SYNONYMS.get(name, name)
    if name not in EXPRESSIONS:
        raise FerError(f"unknown expression {class_name!r}. Known: {', '.join((*EXPRESSIONS, *SYNONYMS))}")
    return name


def shared_expressions(trained: list[str], tested: list[str]) -> list[str]:
    """Return the common names of the expressions that both lists of classes hold, in the order of `tested`.

    Contempt is left out: few datasets have it.

    Raises:
        FerError: fewer than two are shared.
    """
    known = {expression(name) for name in trained}
    shared = [name for name in map(expression, tested) if name in known - {"contempt"}]
    if len(shared) < 2:
        raise FerError(
            f"classes {', '.join(trained)} and {', '.join(tested)} share {len(shared)} expressions; two are needed"
        )
    return shared


def expression_or_none(name: str) -> str | None:
    """Return the common name of a class, as `expression` does, or None where it is not one of an expression."""
    try:
        return expression(name)
    except FerError:
        return None


def codes_by_expression(classes: list[str]) -> dict[str, int]:
    """Return the codes of a dataset's classes, their places in `classes`, by their common names."""
    return {expression(name): code for code, name in enumerate(classes)}
