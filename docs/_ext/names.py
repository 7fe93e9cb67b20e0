"""The default role: `name` is a link where it is a public name, and code elsewhere.

Public modules are those with ``__all__``. Docstrings write `CMANPConfig`, `DatasetTasks.from_files` and
`sample_weight` alike; a strict build must not take a parameter for a broken link.
"""

import functools
import importlib
import pkgutil
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.domains.python import PyXRefRole
from sphinx.util.docutils import SphinxRole

import skcmanp


@functools.cache
def public_names() -> dict[str, str]:
    """Public names, with and without their module and the package, and their full names."""
    names = {}
    found = pkgutil.walk_packages(skcmanp.__path__, "skcmanp.")
    modules = ["skcmanp", *(module.name for module in found if not module.name.endswith("__main__"))]
    for module in modules:
        for name in getattr(importlib.import_module(module), "__all__", []):
            full = f"{module}.{name}"
            # A name that the package itself has is documented there.
            full = names.setdefault(name, full)
            names |= {f"{module}.{name}": full, f"{module}.{name}".removeprefix("skcmanp."): full}
    return names


class Name(SphinxRole):
    """See the module's docstring."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        head, dot, member = self.text.removesuffix("()").partition(".")
        full = public_names().get(self.text.removesuffix("()"))
        if full is None and head in public_names():
            full = f"{public_names()[head]}{dot}{member}"
        if full is None:
            return [nodes.literal(self.rawtext, self.text)], []
        role = PyXRefRole()
        return role("py:obj", self.rawtext, f"{self.text} <{full}>", self.lineno, self.inliner)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_role("name", Name())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
