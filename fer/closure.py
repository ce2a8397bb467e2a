"""Which code determines the output of a command: the modules that it imports, and the templates that these name."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

PACKAGE = Path(__file__).parent
CLI = PACKAGE / "cli"
# These cannot change an artifact: errors end a job, progress and tracking watch it, closure names a checkpoint, a path
# of layout that changes is another output, what params reads reaches a job as resolved parameters (fer/inputs.py), and
# no stage imports recognition, which is what `fer.load` does, and exporting.
NEUTRAL = {"errors", "progress", "tracking", "layout", "params", "closure", "recognition", "exporting"}
# The packages of which a command imports one module by name
REGISTRIES = {
    "acquire": "datasets",
    "index": "datasets",
    "train": "systems",
    "evaluate": "systems",
    "explain": "systems",
}
PROSE = {"help", "description", "epilog"}  # arguments that document an option of the command line


def listing(command: str, plugin: str = "") -> str:
    """Return digest and name of every file that determines the output of `fer <command>`, one per line.

    The digests leave out comments, docstrings and the help of options, so that editing prose does not change them.

    Args:
        plugin: the adapter or the system that the command imports by name.
    """
    found: dict[Path, str] = {}
    own = next(path for path in sorted(CLI.glob("*.py")) if f"\ndef {command}(" in path.read_text(encoding="utf-8"))
    waiting = [own, PACKAGE / REGISTRIES[command] / f"{plugin}.py"] if plugin else [own]
    while waiting:
        path = waiting.pop()
        if path not in found and path.relative_to(PACKAGE).parts[0].removesuffix(".py") not in NEUTRAL:
            found[path], needed = facts(path, command if path == own else None)
            waiting += needed
    return "".join(f"{found[path]} {path.relative_to(PACKAGE.parent).as_posix()}\n" for path in sorted(found))


def sources() -> str:
    """Return a digest of every byte that `listing` may depend on."""
    files = sorted([*PACKAGE.rglob("*.py"), *templates().values()])
    return digest("".join(f"{path.relative_to(PACKAGE)} {digest(path.read_text(encoding='utf-8'))}" for path in files))


@cache
def facts(path: Path, command: str | None) -> tuple[str, list[Path]]:
    """Return a file's digest and the package files it needs; for the command line, those that one command needs."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":  # a template may include others
        return digest(text), [file for name, file in templates().items() if name in text]
    tree = ast.parse(text)
    if command:
        tree.body = reachable(tree.body, command)
    needed = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            needed += imported(node, path)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in templates():
            needed.append(templates()[node.value])
        elif isinstance(node, ast.Call):
            node.keywords = [keyword for keyword in node.keywords if keyword.arg not in PROSE]
        elif isinstance(getattr(node, "body", None), list):
            node.body = [statement for statement in node.body if not is_docstring(statement)]
    return digest(ast.dump(tree).replace(", type_params=[]", "")), needed  # Python 3.12 has these, 3.11 not


def digest(text: str) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_docstring(statement: ast.stmt) -> bool:
    """Return whether a statement is a string by itself."""
    value = getattr(statement, "value", None)
    return isinstance(statement, ast.Expr) and isinstance(value, ast.Constant) and isinstance(value.value, str)


@cache
def templates() -> dict[str, Path]:
    """Return the paths of the package's templates by file name, by which code refers to them."""
    return {path.name: path for path in PACKAGE.rglob("*.j2")}


def imported(node: ast.Import | ast.ImportFrom, path: Path) -> Iterator[Path]:
    """Yield the files of the package that an import in the module `path` runs: modules, and their packages."""
    names = [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        package = ".".join(path.relative_to(PACKAGE.parent).parts[:-1])
        module = resolve_name("." * node.level + (node.module or ""), package)
        names = [f"{module}.{name}" for name in names]  # a module of a package, or a name in a module
    for parts in (name.split(".") for name in names):
        for depth in range(1, len(parts) + 1) if parts[0] == PACKAGE.name else ():
            place = PACKAGE.parent.joinpath(*parts[:depth])
            yield from (file for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file())


def reachable(statements: list[ast.stmt], name: str) -> list[ast.stmt]:
    """Return the statements of a module that define `name`, or a name that one of those uses."""
    statements = [single for statement in statements for single in split_import(statement)]
    kept: set[int] = set()
    waiting = {name}
    while waiting:
        new = {at for at, statement in enumerate(statements) if at not in kept and defined(statement) & waiting}
        waiting = {node.id for at in new for node in ast.walk(statements[at]) if isinstance(node, ast.Name)}
        kept |= new
    return [statements[at] for at in sorted(kept)]


def split_import(statement: ast.stmt) -> list[ast.stmt]:
    """Return an import of several names as imports of one each."""
    if isinstance(statement, ast.ImportFrom):
        return [ast.ImportFrom(statement.module, [alias], statement.level) for alias in statement.names]
    return [statement]


def defined(statement: ast.stmt) -> set[str]:
    """Return the names that a statement of a module defines."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
