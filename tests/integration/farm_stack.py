"""The real compiler and evaluator as processes that tests can kill."""

from __future__ import annotations

import subprocess
from pathlib import Path

import grpc

from tests.integration.plumbing_stack import ROOT, Stack, free_port
from tinyfarm.v1 import (
    artifact_pb2,
    artifact_pb2_grpc,
    compiler_pb2_grpc,
    evaluator_pb2_grpc,
    job_pb2_grpc,
    search_pb2_grpc,
)

SHARED = ROOT.parent / "shared"


class FarmStack(Stack):
    def __init__(self, folder: Path, **settings: str) -> None:
        names = ("search", "compiler", "evaluator")
        self.addresses = {name: f"127.0.0.1:{free_port()}" for name in names}
        where = {f"TINYFARM_{name.upper()}_ADDRESS": address for name, address in self.addresses.items()}
        super().__init__(folder, **where, **settings)

    def start_server_of(self, service: str) -> subprocess.Popen[str]:
        self.service = f"services.{service}"
        return self.start("server", "--listen", self.addresses[service])[0]

    def start_worker_of(self, service: str, *options: str) -> subprocess.Popen[str]:
        self.service = f"services.{service}"
        return self.start("worker", *options)[0]


class FarmCaller:
    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address)
        self.search = search_pb2_grpc.SearchServiceStub(self.channel)
        self.compiler = compiler_pb2_grpc.CompilerServiceStub(self.channel)
        self.evaluator = evaluator_pb2_grpc.EvaluatorServiceStub(self.channel)
        self.jobs = job_pb2_grpc.JobServiceStub(self.channel)
        self.artifacts = artifact_pb2_grpc.ArtifactServiceStub(self.channel)

    def put(self, data: bytes, project: str = "") -> artifact_pb2.Artifact:
        chunks = [data[i : i + 65536] for i in range(0, len(data), 65536)] or [b""]
        requests = (artifact_pb2.PutRequest(project=project, chunk=chunk) for chunk in chunks)
        return self.artifacts.Put(requests, timeout=60).artifact

    def bytes_of(self, artifact: artifact_pb2.Artifact) -> bytes:
        answers = self.artifacts.Get(artifact_pb2.GetRequest(name=artifact.name), timeout=60)
        return b"".join(answer.chunk for answer in answers)
