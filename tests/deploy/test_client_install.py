"""What `pip install tinyfarm` without extras has to bring."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement

LIST_PACKAGES = """
import json, sys
import {module}
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}} - set(sys.stdlib_module_names))))
"""


def base_distributions() -> set[str]:
    """Return tinyfarm's own dependencies without extras, and theirs."""
    found: set[str] = set()
    wanted = ["tinyfarm"]
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        found.add(name)
        requirements = [Requirement(text) for text in metadata.requires(name) or []]
        wanted += [
            r.name.lower().replace("_", "-")
            for r in requirements
            if r.marker is None or r.marker.evaluate({"extra": ""})
        ]
    return found


def packages_after(module: str) -> set[str]:
    """Return the top-level names that are loaded after the import, without the standard library's."""
    code = LIST_PACKAGES.format(module=module)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("module", ["tinyfarm", "tinyfarm.client", "tinyfarm.cli.main"])
def test_module_imports_only_what_the_client_installs(module: str) -> None:
    base = base_distributions()
    # Several distributions may share a name, as grpc and google are shared: one that is installed is enough.
    owners = {
        name: {d.lower().replace("_", "-") for d in distributions}
        for name, distributions in metadata.packages_distributions().items()
    }
    # grpc by itself loads its sister packages where they are installed.
    loaded = packages_after(module) - packages_after("grpc")
    assert sorted(name for name in loaded if name in owners and not owners[name] & base) == []
