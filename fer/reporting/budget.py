"""How long an experiment was trained, beside what its recipe asks for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import getitem

import pandas as pd

from fer import params
from fer.runs import Run, experiment_folds


@dataclass(frozen=True)
class Budget:
    """What the runs of an experiment did: epochs or steps, size of the input, draws of offline variants, folds.

    `done`, `size` and `draws` are what a run did, each beside what the recipe `asked` for; if runs differ in length,
    `done` is that of the shortest and `longest` that of the longest. `size` is None where the system sees no image,
    `crops` where a test image is classified as a whole.
    """

    unit: str
    done: int
    longest: int
    asked: int
    size: int | None
    full_size: int
    draws: int | None
    full_draws: int | None
    folds: int
    all_folds: int
    crops: int | None = None

    @property
    def cut(self) -> bool:
        """Whether a run saw other images than its recipe asks for: of another size, or other numbers of variants."""
        return self.size not in (None, self.full_size) or self.draws != self.full_draws

    @property
    def in_full(self) -> bool:
        """Whether a run did all that its recipe asks for."""
        return self.done >= self.asked and not self.cut

    def length(self) -> str:
        """Return how long training was, beside what the recipe asks for where that differs."""
        done = f"{self.done:,}" if self.done == self.longest else f"{self.done:,}–{self.longest:,}"
        return f"{done} {self.unit}" if self.done == self.asked else f"{done} of {self.asked:,} {self.unit}"

    def each(self) -> str:
        """Return in words what a run did, such as "14 of 500 epochs, 48 px"."""
        parts = [self.length()]
        if self.size:
            parts.append(f"{self.size} px" if self.size == self.full_size else f"{self.size} of {self.full_size} px")
        if self.draws != self.full_draws:
            parts.append(f"{self.draws} of {self.full_draws} draws")
        if self.crops:
            parts.append(f"{self.crops} crops at test time")
        return ", ".join(parts)

    def __str__(self) -> str:
        """Return all of it in words, such as "14 of 500 epochs, 48 px, 2 of 10 folds"."""
        if self.all_folds == 1:
            return self.each()
        folds = "" if self.folds == self.all_folds else f"{self.folds} of "
        return f"{self.each()}, {folds}{self.all_folds} folds"


def measure(runs: list[Run], histories: list[pd.DataFrame], parameters: dict) -> Budget:
    """Return the budget of runs, given their histories and the parameters that the first was trained with."""
    recipe, asked = recorded_recipe(parameters), own_recipe(runs[0])
    unit = "epochs" if asked.recipe.epochs else "steps"
    done = [len(history) if unit == "epochs" else int(history["step"].iloc[-1]) for history in histories]
    draws, full_draws = (each.offline and each.offline.draws for each in (recipe, asked.recipe))
    return Budget(
        unit=unit,
        done=min(done),
        longest=max(done),
        asked=asked.recipe.epochs or asked.recipe.steps,
        size=None if parameters["views"] == "boxes" else parameters["input"]["size"],
        full_size=asked.input.size,
        draws=draws,
        full_draws=full_draws,
        folds=len({run.fold for run in runs}),
        all_folds=len(experiment_folds(runs[0].experiment)),
        crops=recipe.test_time_views if recipe.test_time_crop else None,
    )


def recorded_recipe(parameters: dict) -> params.Recipe:
    """Return the recipe in a run's recorded parameters, those of earlier versions among them."""
    return params.Recipe.model_validate(params.RunParameters.without_removed(parameters["recipe"]))


def own_recipe(run: Run) -> params.System:
    """Return the system as the run's experiment has it, without a study's overrides."""
    return params.resolve(run.experiment, params.experiment_file(run.name))


def overridden(run: Run, overrides: dict) -> list[str]:
    """Return in words what a study changed of a run: each key, its value, and that of the recipe."""
    values = own_recipe(run).model_dump()
    return [
        f"This study: {name} {value} ({asked(values, name)})"
        for name, value in overrides.items()
        if value != reduce(getitem, params.place_of(name), values)
    ]


def asked(values: dict, name: str) -> str:
    """Return in words what the recipe says of a key that a study overrides."""
    if name in ("epochs", "steps"):  # a recipe has one of them
        name = next(unit for unit in ("epochs", "steps") if values["recipe"][unit])
    return f"the recipe: {name} {reduce(getitem, params.place_of(name), values)}"


def compare_budgets(first: Budget, second: Budget) -> str:
    """Return whether two experiments were trained alike: "equal", "each in full", or "unequal" and what each did."""
    alike = (first.unit, first.done, first.longest) == (second.unit, second.done, second.longest)
    if (alike and not (first.cut or second.cut)) or first.each() == second.each():
        return "equal"
    if first.in_full and second.in_full:
        return "each in full"
    return f"unequal ({first.each()}; {second.each()})"
