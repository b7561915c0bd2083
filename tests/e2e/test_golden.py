"""Real models through `tinyfarm run`: bit for bit what TFLite Micro computes."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.conftest import SHARED
from tinyfarm.cli.main import app

MODELS = sorted(path.stem for path in (SHARED / "models").glob("*.tflite"))
# One board of each core; every model on every board is benchmarks' and acceptance's work.
BOARD_OF = {"mcunet_vww1": "stm32f746", "vww_96_int8": "nucleo-u575zi"}


@pytest.mark.skipif(not MODELS, reason=f"{SHARED / 'models'} with real models is not here")
@pytest.mark.parametrize("name", MODELS or ["none"])
def test_outputs_equal_tflm(stack, tmp_path, name):
    golden = SHARED / "golden" / f"{name}.npz"
    board, output = BOARD_OF.get(name, "nucleo-l4r5zi"), tmp_path / "out.npz"
    result = CliRunner().invoke(
        app,
        [
            "run",
            str(SHARED / "models" / f"{name}.tflite"),
            "--board",
            board,
            "--input",
            str(golden),
            "--output",
            str(output),
            "--json",
            "--server",
            stack.server,
        ],
    )
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["twin_equal"] is True and document["instructions"]["kind"] == "exact"
    with np.load(golden) as expected, np.load(output) as actual:
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
