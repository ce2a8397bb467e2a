"""What the modules of a package register, found by the module's name: `fer/systems/dnn.py` holds the system "dnn"."""

from __future__ import annotations

import importlib
from typing import Generic, TypeVar

from fer.errors import FerError

Item = TypeVar("Item", bound=type)


class Registry(Generic[Item]):
    """The classes that the modules of one package registered."""

    def __init__(self, package: str):
        self.package = package
        self._items: dict[str, Item] = {}

    def register(self, item: Item) -> Item:
        """Make a class known by its module's name; used as a decorator."""
        self._items[item.__module__.rpartition(".")[2]] = item
        return item

    def find(self, name: str) -> Item:
        """Import the module `name` of the package and return the class it registers."""
        module = f"{self.package}.{name}"
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:  # the module is there, but lacks something itself
                raise
            raise FerError(
                f"{name!r} has parameters but no module: {module.replace('.', '/')}.py does not exist"
            ) from error
        if name not in self._items:
            raise FerError(f"{module.replace('.', '/')}.py has no class decorated with @register")
        return self._items[name]
