"""Work for the job tests: does what the JSON in the specification's model name says."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from services.common.errors import UnsupportedError
from services.common.jobs.task import TaskContext, TaskResult
from tinyfarm.v1 import compile_pb2


def run(spec: bytes, context: TaskContext) -> TaskResult:
    order = json.loads(compile_pb2.CompileSpec.FromString(spec).model_name)
    with Path(os.environ["PLUMBING_RUNS"]).open("a") as runs:
        runs.write(f"{context.job_id} {os.getpid()}\n")
    match order["do"]:
        case "add":
            total = 0
            for step in range(order["steps"]):
                time.sleep(order["step_s"])
                total += step
                context.progress((step + 1) / order["steps"], f"step {step + 1}")
            if "artifact" in order:
                ref = context.artifacts.put_bytes(context.project, order["artifact"].encode())
                return _result(str(total), ref.name)
            return _result(str(total))
        case "chatter":
            for line in range(order["lines"]):
                context.log(f"line {line}")
            return _result("said it all")
        case "kill worker":
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        case "die":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "hang":
            while True:
                pass
        case "spawn and hang":
            if os.fork() == 0:
                time.sleep(600)
            time.sleep(600)
        case "crash between checkpoints":
            done = int(context.load_checkpoint("done") or b"0")
            if done < order["times"]:
                context.save_checkpoint("done", str(done + 1).encode())
                time.sleep(0.1)
                os.kill(os.getpid(), signal.SIGKILL)
            return _result(str(done))
        case "refuse":
            raise UnsupportedError("no kernel for FANCY", reason="UNSUPPORTED_OPERATOR", subject="FANCY", allowed="Add")
        case "bug":
            raise ZeroDivisionError("one over nothing")
    raise AssertionError(order)


def _result(name: str, *artifacts: str) -> TaskResult:
    result = compile_pb2.CompileResult(name=name)
    if artifacts:
        result.library.name = artifacts[0]
    return TaskResult(result.SerializeToString(), artifacts)
