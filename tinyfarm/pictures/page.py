"""The page of `tinyfarm explain`: every network's pictures, and a table where there are several."""

from __future__ import annotations

from collections.abc import Sequence

from tinyfarm.pictures.compare import comparison_picture
from tinyfarm.pictures.facts import Facts
from tinyfarm.pictures.memory import arena_picture, memory_picture
from tinyfarm.pictures.sight import sight_picture
from tinyfarm.pictures.svg import count_text, plain, size_text
from tinyfarm.pictures.work import work_picture

_STYLE = """
  body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
  h1 { font-size: 1.6rem; margin-bottom: 0; }
  h2 { font-size: 1.25rem; margin: 3rem 0 0; padding-top: 1rem; border-top: 2px solid #222; overflow-wrap: anywhere; }
  h3 { font-size: 1rem; margin: 1.8rem 0 .3rem; }
  .sub, figcaption { color: #666; } figcaption { font-size: .85rem; max-width: 50rem; }
  .facts { display: flex; flex-wrap: wrap; gap: .7rem; margin: 1rem 0; }
  .fact { border: 1px solid #ddd; border-radius: 6px; padding: .4rem .9rem; font-size: .9rem; }
  .fact b { display: block; font-size: 1.15rem; }
  figure { margin: 0; } svg { max-width: 100%; height: auto; display: block; }
  .wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .9rem; margin: 1rem 0; }
  th, td { padding: .35rem .6rem; border-bottom: 1px solid #e3e6ea; text-align: right; white-space: nowrap; }
  th { color: #666; font-weight: 600; white-space: normal; vertical-align: bottom; }
  th:first-child, td:first-child { text-align: left; white-space: normal; }
  td:first-child { overflow-wrap: anywhere; min-width: 6rem; }
  @media (max-width: 62rem) { table { font-size: .8rem; } th, td { padding: .3rem; } }
"""
COLUMNS = (
    "network", "input", "MACs", "weights and tables", "arena", "arena / weights", "bound of the schedule", "schedule",
)  # fmt: skip
CAPTIONS = {
    "Memory over time": "Each bar is a layer, each piece a buffer that is alive while it runs; what an output shares "
    "with the input that it overwrites counts once. The fullest layer decides the arena.",
    "Arena map": "Every buffer at its bytes, from the layer that writes it to the last one that reads it. Where two "
    "overlap, an output is written over an input that is no longer needed.",
    "Multiply-accumulates": "By layer; on top, the share of each image size.",
    "Receptive field": "Layers that run in patches must read all that their outputs see: neighbors read the halo "
    "again, and compute it again. A streaming schedule keeps those rows instead.",
}


def explain_page(networks: Sequence[Facts]) -> str:
    """Return the whole page, which needs no network and no other file."""
    targets = ", ".join(dict.fromkeys(n.target for n in networks))
    body = [f"<h1>What {'these networks need' if len(networks) > 1 else 'this network needs'}</h1>"]
    body.append(f'<p class="sub">compiled by tinyfarm for {plain(targets)} · sizes are exact, 1 KiB is 1,024 bytes</p>')
    if len(networks) > 1:
        body += [
            f"<h3>Weights against activations</h3><figure>{comparison_picture(networks)}</figure>",
            _table(networks),
        ]
    for network in networks:
        body.append(network_section(network))
    title = plain(f"tinyfarm explain: {', '.join(n.name for n in networks)}")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n'
        + "\n".join(body)
        + ("\n</body></html>\n")
    )


def network_section(network: Facts) -> str:
    """Return the heading, figures and pictures of one network."""
    facts = (
        (size_text(network.arena_bytes), f"arena ({network.arena_bytes:,} bytes)"),
        (size_text(network.constants_bytes), "weights and tables"),
        (count_text(network.macs), "MACs"),
        (str(len(network.layers)), "layers"),
        (network.schedule, "schedule"),
        (network.kernels, "kernels"),
    )
    cards = "".join(f'<div class="fact"><b>{plain(value)}</b>{plain(what)}</div>' for value, what in facts)
    figures = "".join(_figure(name, picture) for name, picture in network_pictures(network))
    why = f'<p class="sub">{plain(network.schedule_reason)}</p>'
    return f'<h2>{plain(network.name)}</h2><div class="facts">{cards}</div>{why}{figures}'


def network_pictures(network: Facts) -> list[tuple[str, str]]:
    """Return every picture of a network with its title."""
    pictures = [
        ("Memory over time", memory_picture(network)),
        ("Arena map", arena_picture(network)),
        ("Multiply-accumulates", work_picture(network)),
    ]
    sight = sight_picture(network)
    return [*pictures, ("Receptive field", sight)] if sight else pictures


def _figure(name: str, picture: str) -> str:
    caption = f"<figcaption>{plain(CAPTIONS[name])}</figcaption>"
    return f"<h3>{plain(name)}</h3><figure>{picture}{caption}</figure>"


def _table(networks: Sequence[Facts]) -> str:
    rows = "".join(f"<tr>{''.join(f'<td>{plain(cell)}</td>' for cell in table_row(n))}</tr>" for n in networks)
    head = "".join(f"<th>{plain(name)}</th>" for name in COLUMNS)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def table_row(network: Facts) -> tuple[str, ...]:
    """Return a network's cells in the table of all; no plan of its schedule can need less than its bound."""
    return (
        network.name,
        "×".join(map(str, network.input_shape[1:])),
        count_text(network.macs),
        f"{network.constants_bytes:,}",
        f"{network.arena_bytes:,}",
        f"{network.arena_bytes / max(1, network.constants_bytes):.2f}",
        f"{network.bound_bytes:,}",
        network.schedule,
    )
