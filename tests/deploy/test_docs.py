"""The documentation against the code and itself."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from docs.generate import generated
from services.common.errors import FarmError

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    local = [link.partition("#")[0] for link in links if "://" not in link]
    assert [link for link in local if link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_anchors_are_headings(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+#[^)\s]+)\)", page.read_text()):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        text = (page.parent / target).read_text() if target else page.read_text()
        headings = {
            re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-")
            for h in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        }
        assert anchor in headings


def test_every_page_is_linked_from_another() -> None:
    links = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    }
    assert [page.name for page in PAGES if page not in {*links, ROOT / "README.md"}] == []


def test_every_error_code_has_its_row() -> None:
    rows = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE))
    assert rows == {kind.code.name for kind in (FarmError, *FarmError.__subclasses__())}


def test_settings_named_in_the_pages_exist() -> None:
    from services.common.settings import Settings

    sources = [*(ROOT / "tinyfarm").rglob("*.py"), ROOT / "Makefile", ROOT / "deploy" / "compose.yaml"]
    elsewhere = {n for path in sources for n in re.findall(r"TINYFARM_[A-Z_]+[A-Z]", path.read_text())}
    named = {n for page in PAGES for n in re.findall(r"TINYFARM_[A-Z_]+[A-Z]", page.read_text())}
    assert named - elsewhere <= {f"TINYFARM_{field.upper()}" for field in Settings.model_fields}


def test_make_targets_named_in_the_pages_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [line for page in PAGES for line in page.read_text().splitlines()]
    named = {n for line in lines for n in re.findall(r"(?:^\s*|`)make ([a-z]+)", line)}
    assert named <= targets


@pytest.mark.parametrize("path", sorted(generated()), ids=lambda p: str(p.relative_to(ROOT)))
def test_generated_file_is_up_to_date(path: Path) -> None:
    assert path.read_text() == generated()[path], "run make docs"


def examples(language: str) -> list[str]:
    """Code of the page on the library: in C a header, a program, a header that pulls; in JSON a manifest."""
    page = (ROOT / "docs" / "c-library.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def test_example_of_a_pulled_input_is_what_the_compiler_writes() -> None:
    from services.compiler.options import CompileOptions, Core
    from services.compiler.pipeline import compile_model

    model = ROOT.parent / "shared" / "models" / "mcunet_vww1.tflite"
    if not model.exists():
        pytest.skip("../shared/models is not here")
    options = CompileOptions("nucleo-l4r5zi", Core.CORTEX_M4, "streaming", pull_input=True)
    compiled = compile_model(model.read_bytes(), model.stem, options)
    with zipfile.ZipFile(io.BytesIO(compiled.library_zip)) as library:
        header = library.read(compiled.manifest.header).decode().splitlines()
    assert [line for line in examples("c")[2].splitlines() if line not in header] == []


def agrees(shown: Any, made: Any) -> bool:
    """Whether the page shows what was made; a name or a list may end early, with three dots."""
    match shown:
        case dict():
            return shown.keys() == made.keys() and all(agrees(value, made[key]) for key, value in shown.items())
        case [*some, "..."]:
            return len(some) < len(made) and all(map(agrees, some, made))
        case list():
            return len(shown) == len(made) and all(map(agrees, shown, made))
        case str() if shown.endswith("..."):
            return str(made).startswith(shown.removesuffix("..."))
        case _:
            return bool(shown == made)


def test_manifest_of_the_page_is_what_the_compiler_writes() -> None:
    from services.compiler.options import CompileOptions, Core
    from services.compiler.pipeline import compile_model

    model = ROOT.parent / "shared" / "models" / "kws_ref_model.tflite"
    if not model.exists():
        pytest.skip("../shared/models is not here")
    (text,) = examples("json")
    options = CompileOptions("nucleo-l4r5zi", Core.CORTEX_M4)
    made = json.loads(compile_model(model.read_bytes(), model.stem, options).manifest.to_json())
    assert agrees(json.loads(text), {**made, "layers": [made["layers"][2]]})


def test_c_example_compiles_against_the_header_of_the_model_it_names(tmp_path: Path) -> None:
    from services.compiler.options import CompileOptions, Core
    from services.compiler.pipeline import compile_model

    model = ROOT.parent / "shared" / "models" / "kws_ref_model.tflite"
    if not model.exists():
        pytest.skip("../shared/models is not here")
    declared, program, _ = examples("c")
    compiled = compile_model(model.read_bytes(), model.stem, CompileOptions("nucleo-l4r5zi", Core.CORTEX_M4))
    with zipfile.ZipFile(io.BytesIO(compiled.library_zip)) as library:
        header = library.read(compiled.manifest.header).decode()
    defines = re.compile(r"^#define \w+ \d+u$", re.MULTILINE)
    assert defines.findall(declared) == defines.findall(header)
    (tmp_path / compiled.manifest.header).write_text(header)
    (tmp_path / "example.c").write_text(program)
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-c"]
    done = subprocess.run(
        [sys.executable, "-m", "ziglang", "cc", *flags, "example.c"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
