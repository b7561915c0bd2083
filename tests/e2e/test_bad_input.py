"""Bad input: one clear error, exit 2 (1 where the model does not fit), no traceback, and the stack still serves."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.e2e import e2e_models
from tinyfarm.cli.main import app

BOARD = ("--board", "nano33ble")


def npz(**arrays):
    sink = io.BytesIO()
    np.savez(sink, **arrays)
    return sink.getvalue()


def pickled_npz():
    return npz(x=np.array([{"a": 1}, None], dtype=object))


def bomb_npz():
    """3 TiB of zeros by its header, 256 MiB by its stream, 1 MB by its file."""
    sink = io.BytesIO()
    archive = zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with archive, archive.open("x.npy", "w", force_zip64=True) as member:
        header = {"descr": "|i1", "fortran_order": False, "shape": (2**34, 8, 8, 3)}
        np.lib.format.write_array_header_2_0(member, header)
        for _ in range(256):
            member.write(bytes(1 << 20))
    return sink.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("bad")
    (tmp_path / "small.tflite").write_bytes(e2e_models.small())
    (tmp_path / "truncated.tflite").write_bytes(e2e_models.small()[:200])
    (tmp_path / "garbage.tflite").write_bytes(bytes(range(256)) * 8)
    (tmp_path / "garbage.onnx").write_bytes(bytes(range(256)) * 8)
    (tmp_path / "empty.tflite").write_bytes(b"")
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "unsupported.tflite").write_bytes(e2e_models.unsupported())
    (tmp_path / "vector.tflite").write_bytes(e2e_models.named("vector"))
    (tmp_path / "nan.tflite").write_bytes(e2e_models.nan_scale())
    (tmp_path / "good.npz").write_bytes(npz(x=np.zeros((2, 8, 8, 3), np.int8)))
    (tmp_path / "wrong.npz").write_bytes(npz(x=np.zeros((2, 7, 8, 3), np.int8)))
    (tmp_path / "none.npz").write_bytes(npz(x=np.zeros((0, 8, 8, 3), np.int8)))
    (tmp_path / "pickle.npz").write_bytes(pickled_npz())
    (tmp_path / "bomb.npz").write_bytes(bomb_npz())
    (tmp_path / "cut.npz").write_bytes(npz(x=np.zeros((2, 8, 8, 3), np.int8))[:-40])
    (tmp_path / "unlabelled.npz").write_bytes(npz(x=np.zeros((2, 8, 8, 3), np.int8)))
    (tmp_path / "data").mkdir()
    return tmp_path


def check(model, *more):
    return ("check", model, *BOARD, *more)


def run(data, model="small.tflite"):
    return ("run", model, *BOARD, "--input", data, "--output", "out.npz")


# Arguments, and a word that the error must hold.
CASES = {
    "truncated tflite": (check("truncated.tflite"), "bytes is truncated or corrupt: an offset or a length in it"),
    "garbage named tflite": (check("garbage.tflite"), "2048 bytes of neither format: must be ONNX, or TFLite"),
    "garbage named onnx": (check("garbage.onnx"), "2048 bytes of neither format"),
    "output that is a folder": (
        ("run", "small.tflite", *BOARD, "--input", "good.npz", "--output", "data"),
        "'data': is a folder",
    ),
    "output below a file": (("compile", "small.tflite", "--target", "nano33ble", "-o", "good.npz/lib"), "not a folder"),
    "empty tflite": (check("empty.tflite"), "empty"),
    "empty onnx": (check("empty.onnx"), "empty"),
    "unsupported operator": (check("unsupported.tflite"), "COS"),
    "NaN scale": (check("nan.tflite"), "nan"),
    "missing model": (check("missing.tflite"), "missing.tflite"),
    "unknown board": (("check", "small.tflite", "--board", "toaster"), "toaster"),
    "unknown target": (("compile", "small.tflite", "--target", "toaster"), "toaster"),
    "wrong shape": (run("wrong.npz"), "7"),
    "no samples": (run("none.npz"), "0"),
    "pickle in npz": (run("pickle.npz"), "x"),
    "zip bomb npz": (run("bomb.npz"), "its header says"),
    "cut npz": (run("cut.npz"), "npz"),
    "model as npz": (run("small.tflite"), "npz"),
    "missing input": (run("missing.npz"), "missing.npz"),
    "pickle in data": (check("small.tflite", "--data", "pickle.npz"), "x"),
    "data without y": (check("small.tflite", "--data", "unlabelled.npz"), "y"),
    "accuracy without data": (check("small.tflite", "--min-accuracy", "0.9"), "--data"),
    "negative budget": (check("small.tflite", "--max-sram", "-64KiB"), "-64KiB"),
    "budget without unit": (check("small.tflite", "--max-latency", "100"), "100"),
    "accuracy above one": (check("small.tflite", "--min-accuracy", "90"), "90"),
    "pulled per layer": (
        check("small.tflite", "--schedule", "per-layer", "--pull-input"),
        "'per-layer' holds the input",
    ),
    "vector pulled by rows": (check("vector.tflite", "--pull-input"), "is [1, 4]"),
    "size beyond 64 bits": (check("small.tflite", "--max-sram", "1" + 30 * "0"), "less than 2^63"),
    "seed beyond 32 bits": (("search", *BOARD, "--data", "mnist5k", "--seed", str(2**64)), "4294967295"),
    "unknown schedule": (check("small.tflite", "--schedule", "lazy"), "lazy"),
    "empty data folder": (("search", *BOARD, "--data", "data"), "0 classes"),
    "unknown data set": (("search", *BOARD, "--data", "mnist6k"), "mnist6k"),
    "missing data": (("search", *BOARD, "--data", "./nowhere"), "nowhere"),
    "npz without labels": (("search", *BOARD, "--data", "unlabelled.npz"), "y"),
    "unknown job": (("get", "0" * 32), "0" * 32),
    "no id of a job": (("get", "nosuchjob"), "32 hexadecimal digits"),
    "grid beyond its range": (check("small.tflite", "--schedule", "patch:70000x1"), "1 to 9999"),
    "malformed job": (("watch", "../../etc/passwd"), "passwd"),
    "quantize a tflite": (("quantize", "small.tflite", "--calibration", "good.npz"), "ONNX"),
}


@pytest.mark.parametrize("case", CASES)
def test_one_clear_error(stack, client, folder, monkeypatch, case):
    arguments, word = CASES[case]
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(app, [*arguments, "--server", stack.server])
    lines = [line for line in result.stderr.splitlines() if not line.startswith("next: ")]
    assert result.exit_code == 2, result.output
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    assert word in lines[0]
    assert "Traceback" not in result.output and "internal" not in result.output.lower()
    assert result.stdout == ""
    assert len(client.boards()) > 0


def test_error_as_json_has_its_parts(stack, folder, monkeypatch):
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(
        app, ["check", "small.tflite", "--board", "toaster", "--json", "--server", stack.server]
    )
    error = json.loads(result.stdout)["error"]
    assert result.exit_code == 2
    assert (error["subject"], error["value"]) == ("board", "toaster")
    assert "nano33ble" in error["allowed"] and error["code"] == "NOT_FOUND"


def test_search_refuses_an_unknown_board_as_check_does_and_queues_nothing(stack, client, folder, monkeypatch):
    monkeypatch.chdir(folder)
    before = [job.name for job in client.jobs.list()]
    told = [
        CliRunner().invoke(app, [*command, "--board", "toaster", "--json", "--server", stack.server])
        for command in (("search", "--data", "mnist5k"), ("check", "small.tflite"))
    ]
    assert [result.exit_code for result in told] == [2, 2]
    assert told[0].stdout == told[1].stdout and told[0].stderr == told[1].stderr
    assert json.loads(told[0].stdout)["error"]["reason"] == "UNKNOWN_BOARD"
    assert [job.name for job in client.jobs.list()] == before


def test_unreachable_server(folder, monkeypatch):
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(app, [*check("small.tflite"), "--server", "127.0.0.1:1"])
    assert result.exit_code == 2
    told = "error: server 127.0.0.1:1 cannot be reached; allowed: host:port of a stack that is up"
    assert result.stderr.splitlines()[0] == told


ERROR_PARTS = {
    "missing file": (check("missing.tflite"), "file", "missing.tflite"),
    "no server": ((*check("small.tflite"), "--server", "127.0.0.1:1"), "server", "127.0.0.1:1"),
    "no data": (("search", *BOARD, "--data", "./nowhere"), "file or folder", "./nowhere"),
}


@pytest.mark.parametrize("case", ERROR_PARTS)
def test_error_as_json_tells_what_is_wrong_and_its_value_apart(folder, monkeypatch, case):
    arguments, subject, value = ERROR_PARTS[case]
    monkeypatch.chdir(folder)
    error = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)["error"]
    assert (error["subject"], error["value"]) == (subject, value) and error["allowed"]


@pytest.mark.parametrize("command", ["check", "compile", "run"])
def test_grid_that_cannot_be_is_told_and_exits_1(stack, folder, monkeypatch, command):
    """It was per-layer, exit 0, without a word."""
    monkeypatch.chdir(folder)
    place = {
        "check": BOARD,
        "compile": ("--target", BOARD[1]),
        "run": (*BOARD, "--input", "good.npz", "--output", "out.npz"),
    }
    for schedule, code in (("patch:99x99", 1), ("patch", 0)):
        wanted = ("--schedule", schedule, "--json", "--server", stack.server)
        result = CliRunner().invoke(app, [command, "small.tflite", *place[command], *wanted])
        assert result.exit_code == code, result.output
        assert json.loads(result.stdout)["schedule_kept"] is (code == 0)
        told = "broken: --schedule patch:99x99 cannot be kept: per-layer: the first operators cannot be cut into 99x99"
        assert (told in result.stderr) is (code == 1)


MISFITS = {
    "flash": (e2e_models.two_mib_of_weights, "board_flash", 1024 * 1024),
    "sram": (e2e_models.half_mib_of_activations, "board_sram", 256 * 1024),
}


@pytest.mark.parametrize("memory", MISFITS)
def test_model_that_does_not_fit_exits_1_with_the_memory_report(stack, tmp_path, memory):
    build, name, available = MISFITS[memory]
    model = tmp_path / "big.tflite"
    model.write_bytes(build())
    arguments = [*check(str(model)), "--server", stack.server]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 1, result.output
    document = json.loads(result.stdout)
    (misfit,) = document["misfits"]
    assert misfit["memory"] == memory and misfit["available_bytes"] <= available < misfit["needed_bytes"]
    assert [budget["name"] for budget in document["budgets"]] == [name]
    sram, flash = document["sram_bytes"], document["flash_bytes"]
    assert sram["arena"] == sram["input"] + sram["activations"] + sram["line_buffers"] + sram["scratch"] > 0
    assert flash["total"] == flash["code"] + flash["weights"] + flash["tables"]
    if memory == "sram":
        assert misfit["layer"] and misfit["layer_index"] is not None
    text = CliRunner().invoke(app, arguments)
    assert text.exit_code == 1 and "does not fit" in text.stdout and "SRAM arena" in text.stdout


def test_nasty_names_compile_and_run_escaped_everywhere(stack, tmp_path):
    model = tmp_path / f"{e2e_models.NASTY}.tflite"
    model.write_bytes(e2e_models.named(e2e_models.NASTY))
    data, output, library = tmp_path / "in.npz", tmp_path / "out.npz", tmp_path / "library"
    data.write_bytes(npz(**{e2e_models.NASTY: np.arange(8, dtype=np.int8).reshape(2, 4)}))
    server = ("--server", stack.server)
    done = CliRunner().invoke(
        app, ["run", str(model), *BOARD, "--input", str(data), "--output", str(output), "--json", *server]
    )
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["twin_equal"] is True and document["model"] == e2e_models.NASTY
    compiled = CliRunner().invoke(app, ["compile", str(model), "--target", "nano33ble", "-o", str(library), *server])
    assert compiled.exit_code == 0, compiled.output
    for path in library.iterdir():
        assert e2e_models.NASTY not in path.name
        code = "\n".join(line for line in path.read_text().splitlines() if path.suffix in (".c", ".h"))
        assert "rm -rf" not in strip_comments(code)


def strip_comments(code):
    import re

    return re.sub(r"/\*.*?\*/|//[^\n]*", "", code, flags=re.DOTALL)
