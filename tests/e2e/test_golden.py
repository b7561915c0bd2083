"""Real models through `tinyfarm run`: bit for bit what TFLite Micro computes."""

import json
import os

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.conftest import SHARED
from tinyfarm.cli.main import app
from tinyfarm.client.arrays import write_npz

MODELS = sorted(path.stem for path in (SHARED / "models").glob("*.tflite"))
# One board of each core; every model on every board is benchmarks' and acceptance's work.
BOARD_OF = {"mcunet_vww1": "stm32f746", "vww_96_int8": "nucleo-u575zi"}


# Of models that take long to simulate `make test` runs the first samples, `make fuzz` all.
SLOW = {"mcunet_vww1", "person_detect", "pretrainedResnet_quant", "vww_96_int8"}
FEW = 2


def samples_of(name):
    with np.load(SHARED / "golden" / f"{name}.npz") as golden:
        few = name in SLOW and "TINYFARM_FUZZ_EXAMPLES" not in os.environ
        return {key: golden[key][: FEW if few else None] for key in ("input", "output")}


@pytest.mark.skipif(not MODELS, reason=f"{SHARED / 'models'} with real models is not here")
@pytest.mark.parametrize("name", MODELS or ["none"])
def test_outputs_equal_tflm(stack, tmp_path, name):
    expected = samples_of(name)
    board, given, output = BOARD_OF.get(name, "nucleo-l4r5zi"), tmp_path / "in.npz", tmp_path / "out.npz"
    given.write_bytes(write_npz(expected))
    model = str(SHARED / "models" / f"{name}.tflite")
    arguments = ["run", model, "--board", board, "--input", str(given), "--output", str(output), "--json"]
    result = CliRunner().invoke(app, [*arguments, "--server", stack.server])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["twin_equal"] is True and document["instructions"]["kind"] == "exact"
    with np.load(output) as actual:
        (key,) = actual.files
        assert actual[key].dtype == expected["output"].dtype
        assert document["samples"] == len(expected["output"])
        assert actual[key].tobytes() == expected["output"].tobytes()


def test_accuracy_of_keyword_spotting_equals_tflm(stack, shared):
    result = CliRunner().invoke(
        app,
        [
            "check",
            str(shared / "models" / "kws_ref_model.tflite"),
            "--board",
            "nucleo-l4r5zi",
            "--json",
            "--data",
            str(shared / "data" / "kws01.npz"),
            "--board-samples",
            "20",
            "--min-accuracy",
            "0.9",
            "--server",
            stack.server,
        ],
    )
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["accuracy"]["value"] == pytest.approx(0.901, abs=1e-9)
    assert document["accuracy"]["samples"] == 1000 and document["accuracy"]["samples_on_board"] >= 20
    assert document["twin_equal"] is True
