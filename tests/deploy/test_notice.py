"""NOTICE names every dependency, and every copyleft license that the packages' own metadata admits."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTICE = (ROOT / "NOTICE").read_text()


def requirement_name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match
    return match[0].lower().replace("_", "-")


def direct_dependencies() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return {requirement_name(r) for group in groups for r in group} - {"tinyfarm"}


def closure(names: set[str]) -> set[str]:
    seen: set[str] = set()
    while names:
        name = names.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            requirements = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        names |= {requirement_name(r) for r in requirements if "extra ==" not in r}
    return seen


def license_fields(name: str) -> str:
    try:
        fields = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return ""
    declared = (fields.get("License-Expression") or "", (fields.get("License") or "").partition("\n")[0])
    return " ".join((*declared, *(c for c in fields.get_all("Classifier") or [] if c.startswith("License"))))


def test_table_lists_exactly_the_direct_dependencies() -> None:
    table = NOTICE.partition("Direct dependencies")[2]
    rows = re.findall(r"^    ([a-z][a-z0-9-]+)  ", table, re.MULTILINE)
    assert sorted(set(rows) - {"package"}) == sorted(direct_dependencies())


def test_every_copyleft_package_is_named() -> None:
    copyleft = {n for n in closure(direct_dependencies()) if re.search(r"GPL|Mozilla|MPL|EPL", license_fields(n))}
    section = NOTICE.partition("Copyleft parts")[2].partition("Direct dependencies")[0]
    assert "dramatiq" in copyleft
    assert sorted(n for n in copyleft if n not in section) == []
