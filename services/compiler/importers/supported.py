"""What can be compiled."""

from services.compiler.ir.graph import Graph


def check_supported(graph: Graph) -> Graph:
    """X"""
    return graph
