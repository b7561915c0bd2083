"""What `pip install tinyfarm`, and each of its extras, has to bring."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from importlib import metadata

import pytest
from packaging.requirements import Requirement

LIST_PACKAGES = """
import json, sys
import {module}
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}} - set(sys.stdlib_module_names))))
"""


def distributions(extra: str = "") -> set[str]:
    """Return what `pip install tinyfarm[extra]` brings, dependencies of dependencies included."""
    found: set[tuple[str, str]] = set()
    wanted = [("tinyfarm", extra), ("tinyfarm", "")]
    while wanted:
        name, wanted_extra = wanted.pop()
        if (name, wanted_extra) in found:
            continue
        found.add((name, wanted_extra))
        requirements = [Requirement(text) for text in metadata.requires(name) or []]
        for r in requirements:
            if r.marker is None or r.marker.evaluate({"extra": wanted_extra}):
                wanted += [(r.name.lower().replace("_", "-"), e) for e in ("", *r.extras)]
    return {name for name, _ in found}


@cache
def packages_after(module: str) -> set[str]:
    """Return the top-level names that are loaded after the import, without the standard library's."""
    code = LIST_PACKAGES.format(module=module)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@cache
def owners_of_packages() -> dict[str, set[str]]:
    """Return the distributions of every top-level name: several may share one (grpc, google), and one is enough."""
    found = metadata.packages_distributions()
    return {name: {d.lower().replace("_", "-") for d in names} for name, names in found.items()}


SERVICE_MODULES = [
    (f"services.{s}.{role}", s) for s in ("compiler", "evaluator", "search") for role in ("server", "worker")
]


@pytest.mark.parametrize(
    ("module", "extra"), [("tinyfarm", ""), ("tinyfarm.client", ""), ("tinyfarm.cli.main", ""), *SERVICE_MODULES]
)
def test_module_imports_only_what_its_extra_installs(module: str, extra: str) -> None:
    brought = distributions(extra)
    owners = owners_of_packages()
    # grpc by itself loads its sister packages where they are installed, redis cryptography.
    loaded = packages_after(module) - packages_after("grpc") - (packages_after("redis") - {"redis"})
    assert sorted(name for name in loaded if name in owners and not owners[name] & brought) == []
