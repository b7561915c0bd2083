"""How many candidates a second the Estimate call answers with one process, over gRPC on the loopback.

    python -m benchmarks.estimate_service [--count N] [--target NAME] [--budget BYTES] [--every]

The networks of benchmarks/estimate.py in one batch, several times: the first round meets every layer for the first
time. Seconds are those of the pool's process alone (unpacking, estimating, packing), and of the wall's clock at the
client, which also has the server's part and whatever else the machine does. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import time
from pathlib import Path

import grpc.aio

from benchmarks.estimate import candidates
from services.compiler.process_pool import ProcessPool
from services.compiler.server import CompilerServicer
from services.compiler.worker import estimate_batch
from services.search.convert import network_to_proto
from services.search.space.network import network_of
from tinyfarm.v1 import compile_pb2, compiler_pb2, compiler_pb2_grpc

_ROUNDS = 3


class EstimateOnly(CompilerServicer):
    """The compiler's service without queue and store, which estimates do not need."""

    def __init__(self, pool: ProcessPool) -> None:
        self._pool = pool


def child_seconds() -> float:
    """Return the processor seconds of this process' children."""
    ticks = 0
    for child in multiprocessing.active_children():
        fields = Path(f"/proc/{child.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def measure(request: compiler_pb2.EstimateRequest) -> None:
    """Print the rates of every round."""
    pool, server = ProcessPool(1, estimate_batch), grpc.aio.server()
    compiler_pb2_grpc.add_CompilerServiceServicer_to_server(EstimateOnly(pool), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    count = len(request.networks)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = compiler_pb2_grpc.CompilerServiceStub(channel)
        # starts the process: its imports are no part of a round
        await stub.Estimate(compiler_pb2.EstimateRequest(target=request.target, options=request.options))
        await pool.map([compiler_pb2.EstimateRequest(target=request.target).SerializeToString()])
        for number in range(_ROUNDS):
            wall, own = time.perf_counter(), child_seconds()
            answer = await stub.Estimate(request)
            wall, own = time.perf_counter() - wall, child_seconds() - own
            if wrong := [e for e in answer.estimates if e.HasField("error")]:
                raise RuntimeError(f"{len(wrong)} networks were refused, the first with {wrong[0].error}")
            print(f"round {number}: {count / own:.0f} a second of the process, {count / wall:.0f} by the wall's clock")
    await server.stop(None)
    await pool.close()


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=200, metavar="N")
    parser.add_argument("--target", default="nucleo-l4r5zi", metavar="NAME")
    parser.add_argument("--budget", type=int, metavar="BYTES", help="of SRAM: what needs more is streamed within it")
    parser.add_argument("--every", action="store_true", help="per layer, in patches and streamed, each at its least")
    asked = parser.parse_args()
    networks = [network_to_proto(network_of(plan, "candidate")) for plan in candidates(asked.count)]
    options = compile_pb2.CompileOptions()
    if asked.budget is not None:
        options.budgets.sram_bytes = asked.budget
    request = compiler_pb2.EstimateRequest(
        networks=networks, target=asked.target, options=options, every_schedule=asked.every
    )
    asyncio.run(measure(request))


if __name__ == "__main__":
    main()
