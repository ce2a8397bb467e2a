"""Wording shared by the messages of several modules."""

from __future__ import annotations

EXAMPLES = 5  # names that a message lists of many
SYNTHETIC = "SYNTHETIC"  # what titles are stamped with where faces were drawn


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun: `counted(1, "image") == "1 image"`, `counted(1200, "image") == "1,200 images"`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def go_on(dataset: str) -> str:
    """Return the last sentence of a message about classes without images: how to continue without them."""
    return f"To go on without these classes, set `allow_empty_classes: true` in params/datasets/{dataset}.yaml."


def examples(names: list[str]) -> str:
    """Return the first few of many names: `a, b, c, d, e and 7 more`."""
    rest = len(names) - EXAMPLES
    return ", ".join(names[:EXAMPLES]) + (f" and {rest:,} more" if rest > 0 else "")


def stamp(synthetic: bool) -> str:
    """Return what follows a title where the faces are synthetic, otherwise ""."""
    return f" ({SYNTHETIC})" if synthetic else ""
