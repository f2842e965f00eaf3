"""The model's own code as the flat folder of modules that transformers copies and imports.

transformers finds the files of a model by the relative imports in their text (``from .x import y``)
and knows no subfolders. So the modules that the entry points need, directly or not, are collected
by following their imports, every import of ours becomes a flat relative one, and an import that is
neither ours, nor of the standard library, nor of `LIBRARIES`, is refused. The text is otherwise
unchanged: comments, docstrings and licence headers stay.

All auto classes share one entry file: transformers imports each entry file with what it needs as a
package of its own, so several of them would give several copies of every class.
"""

import ast
import re
import sys
from importlib.util import find_spec, resolve_name
from pathlib import Path

from semihvision.core.errors import InputError

LIBRARIES = frozenset(
    {
        "PIL",
        "huggingface_hub",
        "numpy",
        "safetensors",
        "timm",
        "tokenizers",
        "torch",
        "torchvision",
        "transformers",
    }
)
"""What a user of a folder must have installed: transformers and what goes with it."""

OPTIONAL = frozenset({"triton"})
"""Allowed inside ``try`` only: a module does without, and transformers does not ask for it."""

ENTRY_MODULE = "pmc_cambrian"
ENTRY_POINTS = {
    "PMCCambrianConfig": "models.configuration",
    "PMCCambrian": "models.modeling",
    "PMCCambrianAutoProcessor": "models.export.processor",
}
"""Class -> its module; a folder's entry file offers these."""

MODEL_AUTO_MAP = {
    "AutoConfig": f"{ENTRY_MODULE}.PMCCambrianConfig",
    "AutoModel": f"{ENTRY_MODULE}.PMCCambrian",
    "AutoModelForCausalLM": f"{ENTRY_MODULE}.PMCCambrian",
    "AutoModelForImageTextToText": f"{ENTRY_MODULE}.PMCCambrian",
}
PROCESSOR_AUTO_MAP = {"AutoProcessor": f"{ENTRY_MODULE}.PMCCambrianAutoProcessor"}

_TRAVELLING = ("models.", "semihvision.core.")
_OURS = frozenset({"models", "semihvision", "data_modules", "evaluation"})
_LICENCE = "SPDX-License-Identifier: Apache-2.0"


class UnknownImportError(InputError):
    """An import that cannot travel: the message names file, line and what to do."""


def bundle_code() -> dict[str, str]:
    """The files of a folder's code.

    Returns:
        File name -> text, the entry file first.

    Raises:
        UnknownImportError: A module that is needed imports what cannot travel.
    """
    files = {f"{ENTRY_MODULE}.py": _entry_text()}
    waiting = list(ENTRY_POINTS.values())
    done: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in done:
            continue
        done.add(module)
        name = f"{flat_name(module)}.py"
        if name in files:
            raise UnknownImportError(
                f"{module}: another module is already called {name}; rename it"
            )
        files[name], needed = _rewrite(module)
        waiting.extend(needed)
    return files


def flat_name(module: str) -> str:
    """Name in a folder: ``models.x`` is ``x``, ``semihvision.core.x`` is ``core_x``."""
    return module.removeprefix("models.").removeprefix("semihvision.").replace(".", "_")


def _entry_text() -> str:
    imports = [f"from .{flat_name(module)} import {name}" for name, module in ENTRY_POINTS.items()]
    lines = [
        f"# {_LICENCE}",
        '"""What the auto classes of transformers load from this folder."""',
        "",
        *sorted(imports),
        "",
        f"__all__ = {sorted(ENTRY_POINTS)!r}",
    ]
    return "\n".join(lines) + "\n"


def _rewrite(module: str) -> tuple[str, list[str]]:
    """A module's text with flat imports, and the modules of ours that it imports."""
    path = _path(module)
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    lines = text.splitlines(keepends=True)
    for block in [node for node in tree.body if _is_for_type_checkers(node)]:
        # Never run, but transformers would ask for the packages it names.
        for i in range(block.lineno - 1, block.end_lineno or block.lineno):
            lines[i] = ""
        tree.body.remove(block)
    needed: list[str] = []
    optional = _optional_imports(tree)
    for node in ast.walk(tree):
        if node in optional:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                _require_library(module, node, alias.name)
        elif isinstance(node, ast.ImportFrom):
            target = _absolute(module, path, node)
            if target.split(".")[0] not in _OURS:
                _require_library(module, node, target)
                continue
            _require_module(module, node, target)
            needed.append(target)
            line, column = lines[node.lineno - 1], node.col_offset
            flat = re.sub(r"^from\s+[.\w]+", f"from .{flat_name(target)}", line[column:])
            lines[node.lineno - 1] = line[:column] + flat
    header = "" if _LICENCE in text else f"# {_LICENCE}\n"
    return (
        f"{header}# {module} of SemiHVision; its imports were made flat.\n{''.join(lines)}",
        needed,
    )


def _is_for_type_checkers(node: ast.stmt) -> bool:
    is_test = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    return is_test and isinstance(node, ast.If) and not node.orelse


def _optional_imports(tree: ast.Module) -> set[ast.AST]:
    """Imports of `OPTIONAL` libraries inside ``try``."""
    tried = [node for block in ast.walk(tree) if isinstance(block, ast.Try) for node in block.body]
    return {
        node
        for node in tried
        if isinstance(node, ast.Import)
        and all(alias.name.split(".")[0] in OPTIONAL for alias in node.names)
    }


def _path(module: str) -> Path:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise UnknownImportError(f"{module}: no such module; expected one of this project")
    return Path(spec.origin)


def _absolute(module: str, path: Path, node: ast.ImportFrom) -> str:
    """The module an import names, its dots resolved."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return resolve_name("." * node.level + (node.module or ""), package)


def _require_module(module: str, node: ast.stmt, target: str) -> None:
    if not target.startswith(_TRAVELLING):
        allowed = " or ".join(f"from {package}<module> import ..." for package in _TRAVELLING)
        raise _unknown(module, node, f"imports {target!r}; expected {allowed}")


def _require_library(module: str, node: ast.stmt, name: str) -> None:
    top = name.split(".")[0]
    if top not in LIBRARIES and top not in sys.stdlib_module_names:
        known = ", ".join(sorted(LIBRARIES))
        raise _unknown(module, node, f"imports {name!r}; expected the standard library or {known}")


def _unknown(module: str, node: ast.stmt, what: str) -> UnknownImportError:
    return UnknownImportError(
        f"{module}, line {node.lineno}: {what}. A model folder carries this module to machines "
        "without this project: import names from modules there, or keep the import out of it"
    )
