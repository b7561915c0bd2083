import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from benchmarks.networks import plan_graph
from services.compiler.options import CompileOptions, Core, Kernels
from services.compiler.pipeline import compile_graph
from services.search.objective import Budgets, Excess
from services.search.ports import Costs, Failure, Flash, Measurement, Sram
from services.search.report.render import render_report
from services.search.run import SearchResult
from services.search.space.image import SpaceChoices, image_spaces
from services.search.space.network import network_of
from services.search.space.plan import plan_of
from services.search.steps.finalists import Trained
from services.search.steps.measure import Point
from services.search.strategy.explore import Quality

SPACE = image_spaces((28, 28, 1), 10, SpaceChoices())[-1]


def manifest_of_a_library() -> str:
    graph = plan_graph(plan_of(SPACE, SPACE.smallest()), "any")
    options = CompileOptions("nano33ble", Core.CORTEX_M4, kernels=Kernels.PORTABLE)
    return compile_graph(graph, graph, options).manifest.to_json()


MANIFEST = manifest_of_a_library()


def point(name: str, accuracy: float, sram: int, *, searched: bool = True) -> Point:
    plan = plan_of(SPACE, SPACE.smallest())
    predicted = Costs(Sram(784, sram - 784), Flash(6000, 3000, 900), 123_456, 250_000.0, None)
    trained = Trained(
        name, f"about {name}", SPACE.smallest() if searched else None, plan, network_of(plan, name), predicted,
        Quality(accuracy, 0.1), accuracy + 0.001, b"onnx",
    )  # fmt: skip
    measured = Costs(Sram(784, sram - 784, stack=512), Flash(6100, 3000, 900), 123_456, 260_000.0, 321.0)
    compiled = Costs(Sram(784, sram - 784), Flash(6050, 3000, 900), 123_000, 255_000.0, 320.0)
    return Point(trained, Measurement(measured, compiled, accuracy, b"int8", manifest=MANIFEST), on_front=searched)


RESULT = SearchResult(
    "digits", Budgets(sram_bytes=16384, accuracy=0.9), SPACE,
    (point("net-1", 0.981, 9000), point("net-2", 0.970, 5000)),
    (point("ds-cnn", 0.975, 12000, searched=False),),
    "net-1", 500, 96, (("space", 1.5), ("supernet", 60.25)),
)  # fmt: skip


class Page(HTMLParser):
    """Tags that are left open, and every address the page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)
        wanted = [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "data")]
        self.fetched += [v for v in wanted if not v.startswith("#")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in ("meta", "br"):
            self.open.pop()


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<(style|svg).*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL).split())


def test_page_is_whole_and_fetches_nothing() -> None:
    page = Page()
    html = render_report(RESULT, "nano33ble")
    page.feed(html)
    assert page.open == [] and page.fetched == []
    assert "url(http" not in html and "<script" not in html
    pictures = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert len(pictures) == 1 + 1 + 4  # front, comparison, and of the winner memory, arena, work, receptive field
    for picture in pictures:
        ElementTree.fromstring(picture)


def test_page_says_what_was_predicted_and_measured() -> None:
    text = text_of(render_report(RESULT, "nano33ble"))
    for expected in (
        "digits on nano33ble",
        "limits: SRAM 16,384, Lowest accuracy 90.0 %",
        "Best network within the limits: net-1 , about net-1",
        "98.1 % float 98.2 % 9,512 9,000 9,000 9,000 9,000 9,000 10,000 9,950 9,900 "
        "260.00 ms 255.00 ms 250.00 ms 0.32 mJ 0.32 mJ – 123,456 123,000 123,456",
        "gave the arena to the byte for 3 of 3 networks, and flash within 0.50 %",
        "500 networks estimated, 96 tried with shared weights, 3 trained and measured",
        "space 1.5 s, supernet 60.2 s",
    ):
        assert expected in text


def test_pictures_name_networks_layers_and_the_limit() -> None:
    html = render_report(RESULT, "nano33ble")
    pareto, comparison, *winner = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert all(f">{name}<" in pareto for name in ("net-1", "net-2", "ds-cnn", "limit", "hand-made"))
    assert all(f">{name}<" in comparison for name in ("net-1", "net-2", "ds-cnn"))
    assert all("net-1" in picture for picture in winner)
    unknown = replace(RESULT.points[0].measured, manifest="")
    without = replace(RESULT, points=(replace(RESULT.points[0], measured=unknown),), baselines=())
    assert render_report(without, "nano33ble").count("<svg") == 1


def test_accuracies_are_drawn_up_to_all_and_no_further() -> None:
    """Of points near 100 % the axis ran to 106 %."""
    points = (point("all", 1.0, 9000), point("most", 0.7, 5000))
    pareto = render_report(replace(RESULT, points=points, winner="all"), "nano33ble").partition("</svg>")[0]
    ticks = [float(text) for text in re.findall(r">([\d.]+)</text>", pareto) if 60 < float(text) < 200]
    assert ticks and max(ticks) <= 100


def test_the_same_result_gives_the_same_page() -> None:
    assert render_report(RESULT, "b") == render_report(RESULT, "b")


@pytest.mark.parametrize("name", ['<script>alert("x")</script>', "$x^", "a & b"])
def test_names_are_escaped(name: str) -> None:
    named = replace(RESULT.points[0], trained=replace(RESULT.points[0].trained, name=name))
    html = render_report(replace(RESULT, points=(named,), winner=name, dataset=name), name)
    assert "<script" not in html
    page = Page()
    page.feed(html)
    assert page.open == []


def test_page_without_a_winner_tells_why_not() -> None:
    lost = replace(RESULT.points[0], measured=Failure("board lost"), on_front=False)
    over = replace(RESULT.points[1], broken=(Excess("sram_bytes", 4000, 5512),), on_front=False)
    text = text_of(render_report(replace(RESULT, points=(lost, over), winner="", baselines=()), "b"))
    assert "No measured network keeps to the limits." in text
    assert "not measured: board lost" in text and "sram_bytes 5512 (limit 4000)" in text
