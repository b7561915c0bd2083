"""Pictures are drawn from the manifest alone: their figures add up, their texts neither collide nor break the page."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks.networks import Bottleneck, bottlenecks, mcunet_like, plan_graph
from services.compiler.ir.graph import Graph
from services.compiler.options import CompileOptions, Core, Kernels
from services.compiler.pipeline import compile_graph
from tests.compiler.graph_maker import GraphMaker
from tests.compiler.schedule.test_images_made_again import excited
from tinyfarm.cli.explain import _offered, named_as_asked
from tinyfarm.pictures.compare import comparison_picture
from tinyfarm.pictures.facts import Facts, facts_of
from tinyfarm.pictures.page import explain_page, network_pictures
from tinyfarm.pictures.sight import example, sight_picture
from tinyfarm.pictures.svg import byte_ticks, count_text, shortened, size_text, ticks

NASTY = '</title><script>alert("x")</script>\x00&'
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

WORK = "Multiply-accumulates"
SCHEDULES = {"streamed": "streaming", "by columns": "streaming", "in patches": "patch:3x2"}
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--window-size=1100,2200",
)  # fmt: skip


def facts(graph: Graph, schedule: str = "per-layer") -> Facts:
    options = CompileOptions("nucleo-l4r5zi", Core.CORTEX_M4, schedule, kernels=Kernels.PORTABLE)
    return facts_of(json.loads(compile_graph(graph, graph, options).manifest.to_json()))


def branching() -> Graph:
    m = GraphMaker(name=NASTY)
    x = m.input(1, 16, 24, 3)
    a, b = m.conv2d(x, 8), m.resize(m.pool("max", m.conv2d(x, 8), (2, 2), (2, 2)), 16, 24)
    return m.build(m.unary("softmax", m.dense(m.mean(m.binary("add", a, b), (1, 2), keep=False), 5)))


def vectors() -> Graph:
    m = GraphMaker(name="vectors")
    return m.build(m.dense(m.dense(m.input(1, 64), 16), 4))


NETWORKS = {
    "mcunet-like": lambda: plan_graph(mcunet_like(64), "mcunet_like"),
    "deep": lambda: plan_graph(bottlenecks(16, [Bottleneck(3, 4, 16)] * 30, 32, 10), "deep"),
    "streamed": lambda: plan_graph(bottlenecks(8, [Bottleneck(3, 3, 8)] * 3, 32, 10), "streamed"),
    "by columns": lambda: plan_graph(bottlenecks(8, [Bottleneck(3, 3, 8)] * 3, 32, 10), "by columns", width=96),
    "in patches": lambda: plan_graph(bottlenecks(8, [Bottleneck(3, 3, 8)] * 3, 32, 10), "patches"),
    "branching": branching,
    "vectors": vectors,
    "one layer": lambda: (m := GraphMaker(name="one")).build(m.conv2d(m.input(1, 5, 5, 1), 2)),
}


@pytest.fixture(scope="module")
def drawn() -> dict[str, Facts]:
    return {name: facts(make(), SCHEDULES.get(name, "per-layer")) for name, make in NETWORKS.items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_bytes_of_buffers_add_up_to_the_live_bytes_of_each_layer(name, drawn):
    network = drawn[name]
    for index, layer in enumerate(network.layers):
        assert sum(count for _, count in network.own_bytes(index)) == layer.live_bytes
        assert all(b.end_bytes <= network.arena_bytes for b in network.alive(index))


@pytest.mark.parametrize("name", NETWORKS)
def test_pictures_are_well_formed_and_inside_their_frame(name, drawn):
    for title, picture in network_pictures(drawn[name]):
        svg = ElementTree.fromstring(picture)
        width, height = (float(n) for n in svg.attrib["viewBox"].split()[2:])
        for shape in svg.iter("rect"):
            x, y, w, h = (float(shape.attrib[k]) for k in ("x", "y", "width", "height"))
            assert -0.1 <= x <= x + w <= width + 0.1 and -0.1 <= y <= y + h <= height + 0.1, title


@pytest.mark.parametrize("name", NETWORKS)
def test_words_do_not_lie_over_each_other(name, drawn):
    pictures = [*network_pictures(drawn[name]), ("comparison", comparison_picture(list(drawn.values())))]
    for title, picture in pictures:
        texts = [t for t in ElementTree.fromstring(picture).iter("text") if "transform" not in t.attrib]
        for a, b in combinations(texts, 2):
            (left, top, right, bottom), (left2, top2, right2, bottom2) = _box(a), _box(b)
            apart = right <= left2 or right2 <= left or bottom <= top2 or bottom2 <= top
            assert apart, f"{title}: {a.text!r} and {b.text!r}"


def _box(text: ElementTree.Element) -> tuple[float, float, float, float]:
    """About what a line of text covers: letters are half as wide as high."""
    x, y, size = (float(text.attrib[k]) for k in ("x", "y", "font-size"))
    width = 0.5 * size * len(text.text or "")
    left = {"start": x, "middle": x - width / 2, "end": x - width}[text.attrib["text-anchor"]]
    return left, y - 0.7 * size, left + width, y


@pytest.mark.parametrize("name", NETWORKS)
def test_label_of_a_buffer_lies_on_that_buffer_alone(name, drawn):
    """The next buffers were drawn over them."""
    svg = ElementTree.fromstring(dict(network_pictures(drawn[name]))["Arena map"])
    places = []
    for rect in svg.iter("rect"):
        tip = rect.findtext("title") or ""
        if " bytes at " in tip:
            x, y, w, h = (float(rect.attrib[k]) for k in ("x", "y", "width", "height"))
            places.append((tip, (x, y, x + w, y + h)))
    names = {shortened(b.name, n) for b in drawn[name].buffers for n in range(200)}
    for text in (t for t in svg.iter("text") if t.text in names and "font-weight" not in t.attrib):
        left, top, right, bottom = _box(text)
        over = [(tip, p) for tip, p in places if left < p[2] and p[0] < right and top < p[3] and p[1] < bottom]
        if over:  # else it is no label in the map
            tip, place = over[-1]
            assert place[0] <= left and right <= place[2] and (text.text or "").partition("…")[0] in tip


def test_networks_are_named_for_the_schedule_that_was_asked_for(drawn):
    """Two grids, or a grid that cannot be and per-layer, gave two rows of one name."""
    network = drawn["streamed"]
    found = named_as_asked([network] * 4, ["patch:2x2", "patch:3x3"])
    name = network.name
    assert [n.name for n in found] == [f"{name}, patch:2x2", f"{name}, patch:3x3"] * 2


def test_page_needs_nothing_else_and_names_from_models_are_text(drawn):
    page = explain_page(list(drawn.values()))
    assert "<script" not in page and "\x00" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"""(src|href)=|url\(|@import""", page)


def test_patches_are_drawn_as_they_are_compiled(drawn):
    network = drawn["in patches"]
    assert network.patching is not None
    assert network.patching.grid == (3, 2)
    texts = [t.text for t in ElementTree.fromstring(sight_picture(network) or "").iter("text")]
    assert {"one patch of 3×2", f"layers 0 to {network.patching.last} in 3×2 patches", "as compiled"} <= set(texts)
    assert {layer.stage for layer in network.layers[: network.patching.last + 1]} == {"patch"}


def test_patches_of_squeezed_images_are_drawn_up_to_the_first_image():
    """Sums of an image end the first stage, and other stages follow: their number was taken for the last layer's."""
    network = facts(excited(), "patch:3x2")
    assert network.patching is not None
    last = network.patching.last
    assert [layer.stage for layer in network.layers[: last + 2]] == ["patch"] * (last + 2)
    assert network.layers[last + 1].op == "ImageSums"
    assert f"layers 0 to {last} in 3×2 patches" in (sight_picture(network) or "")
    assert sum(layer.stage == "patch" for layer in network.layers) > last + 2


def test_macs_of_images_made_again_are_told():
    graph = excited()
    network, whole = facts(graph, "streaming"), facts(graph)
    again = sum(layer.macs for layer in network.layers if layer.name.endswith(" (again)"))
    assert network.macs == whole.macs + again > whole.macs
    assert f"{network.macs:,} MACs in all, {again:,} of them again" in dict(network_pictures(network))[WORK]
    assert f"{whole.macs:,} MACs in all<" in dict(network_pictures(whole))[WORK]


def test_offered_patches_end_at_the_layer_of_the_same_name(drawn):
    patched, by_columns = drawn["in patches"], drawn["by columns"]
    assert by_columns.layers[0].op == "TransposeImage"
    found = _offered(by_columns, patched)
    assert found is not None and patched.patching is not None
    assert found.last == patched.patching.last + 1
    assert by_columns.layers[found.last].name == patched.layers[patched.patching.last].name


def test_example_of_patches_ends_where_memory_falls_below_half_of_the_peak(drawn):
    network = drawn["mcunet-like"]
    found = example(network)
    assert found is not None
    end = found.last
    bytes_ = [network.tensor_bytes(i) for i in range(len(network.layers))]
    assert 2 * bytes_[end] > max(bytes_)
    assert all(2 * count <= max(bytes_) for count in bytes_[end + 1 :])
    streamed = tuple(
        replace(layer, stage="streaming" if i < 9 else layer.stage) for i, layer in enumerate(network.layers)
    )
    other = example(replace(network, layers=streamed))
    assert other is not None and other.last == 8


def test_stages_are_told_below_the_layers(drawn):
    for name, word in (("streamed", "streaming"), ("in patches", "patch")):
        texts = [t.text for t in ElementTree.fromstring(network_pictures(drawn[name])[0][1]).iter("text")]
        assert word in texts and "schedule" in texts, name
    plain = [t.text for t in ElementTree.fromstring(network_pictures(drawn["deep"])[0][1]).iter("text")]
    assert "schedule" not in plain


def test_images_streamed_by_columns_are_told_as_the_input_has_them(drawn):
    network = drawn["by columns"]
    assert network.layers[0].op == "TransposeImage"
    images = [layer.image_hw for layer in network.layers if layer.image_hw]
    assert images[0] == (32, 96) and all(columns == 3 * rows for rows, columns in images)
    assert {layer.receptive_field_hw for layer in network.layers[:2]} == {(1, 1), (3, 3)}


def test_networks_without_an_image_have_no_receptive_fields(drawn):
    assert sight_picture(drawn["vectors"]) is None
    assert sight_picture(drawn["branching"]) is not None


@given(st.floats(1e-3, 1e12), st.integers(2, 10))
def test_ticks_are_round_and_reach_about_the_highest(highest, most):
    for found in (ticks(highest, most), byte_ticks(highest, most)):
        assert found[0] == 0 and len(found) <= most + 1
        assert found[-1] <= highest * 1.001
        assert highest < found[-1] + (found[1] if len(found) > 1 else highest * 1.001)


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (size_text(812), "812 B"),
        (size_text(48_231), "47.1 KiB"),
        (size_text(806_352), "787 KiB"),
        (size_text(3_520_000), "3.36 MiB"),
        (count_text(301_000_000), "301 M"),
        (shortened("input_layer_of_a_model", 9), "inpu…odel"),
    ],
)
def test_figures_have_units(told, wanted):
    assert told == wanted


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_page_opens_in_a_browser(drawn, tmp_path):
    page, shot = tmp_path / "page.html", tmp_path / "page.png"
    page.write_text(explain_page([drawn["mcunet-like"], drawn["branching"]]), encoding="utf-8")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={shot}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    pixels = np.asarray(Image.open(shot).convert("RGB"))
    # the colors of input, activations, the arena's line and a patch are on the page
    for color in ((0xE6, 0x9F, 0x00), (0x00, 0x72, 0xB2), (0x56, 0xB4, 0xE9), (0xD5, 0x5E, 0x00)):
        assert (np.abs(pixels.astype(int) - color).max(axis=-1) < 3).sum() > 50, color
