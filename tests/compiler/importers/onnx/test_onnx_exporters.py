"""Files as torch.onnx and onnxruntime's static quantization really write them, in every format that they offer.

Brevitas is not among the dependencies (its release for this torch wants an older setuptools); its QCDQ idioms, int8
weights clipped to 4 bits and activations clipped before they are quantized, are built by hand in test_onnx_patterns.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from services.compiler.errors import UnsupportedModelError
from services.compiler.importers.onnx import import_onnx
from services.compiler.ir.text import print_graph
from services.compiler.quantize import quantize_onnx
from tests.compiler.importers.onnx.agreement import compare

torch = pytest.importorskip("torch", reason="the exporters under test are torch's")
nn = torch.nn

SHAPE = (1, 3, 16, 16)
INT8, UINT8, INT4 = QuantType.QInt8, QuantType.QUInt8, QuantType.QInt4


class Net(nn.Module):  # type: ignore[misc, name-defined]
    """Strided stem, gated depthwise block with a residual, pools, branches joined, dense head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.LeakyReLU())
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.Hardswish())
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 4, 1), nn.ReLU(), nn.Conv2d(4, 8, 1), nn.Sigmoid()
        )
        self.left, self.right = nn.Conv2d(8, 6, 1), nn.AvgPool2d(3, 1, 1)
        self.head = nn.Linear(14 * 16, 5)

    def forward(self, x: Any) -> Any:
        x = self.stem(x)
        y = self.deep(x)
        x = nn.functional.max_pool2d(x + y * self.gate(y), 2)
        return self.head(torch.cat([torch.sigmoid(self.left(x)), self.right(x)], 1).flatten(1))


def exported(opset: int, *, dynamo: bool) -> bytes:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    names = {"input_names": ["x"], "output_names": ["y"], "opset_version": opset}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            program = torch.onnx.export(Net().eval(), (torch.zeros(SHAPE),), dynamo=True, verbose=False, **names)
            return bytes(program.model_proto.SerializeToString())
        buffer = io.BytesIO()
        torch.onnx.export(Net().eval(), (torch.zeros(SHAPE),), buffer, dynamo=False, **names)
        return buffer.getvalue()


class Calibration(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self._left: Iterator[dict[str, Any]] = iter(
            [{"x": rng.normal(size=SHAPE).astype(np.float32)} for _ in range(8)]
        )

    def get_next(self) -> dict[str, Any] | None:
        return next(self._left, None)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The float network after onnxruntime's own preparation."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "float.onnx").write_bytes(exported(17, dynamo=False))
    quant_pre_process(str(folder / "float.onnx"), str(folder / "prepared.onnx"), auto_merge=True)
    return folder / "prepared.onnx"


@pytest.mark.parametrize(("dynamo", "opset"), [(False, 13), (False, 17), (False, 20), (True, 18), (True, 21)])
def test_torch_export_in_every_opset(dynamo: bool, opset: int) -> None:
    if dynamo:
        pytest.importorskip("onnxscript", reason="torch's newer exporter is written in it")
    calibration = np.random.default_rng(1).normal(size=(16, *SHAPE[1:])).astype(np.float32)
    agreement = compare(quantize_onnx(exported(opset, dynamo=dynamo), calibration), samples=8, spread=1.0)
    kinds = [op.kind for op in agreement.graph.ops]
    assert kinds.count("Transpose") == 1, print_graph(agreement.graph)
    assert agreement.worst_lsb <= 2.001
    assert agreement.argmax_equal >= 7


def quantized(source: Path, folder: Path, **options: Any) -> bytes:
    """onnxruntime's file of the given format; operators that its format has no form of stay float there."""
    target = folder / "quantized.onnx"
    quantize_static(str(source), str(target), Calibration(), **options)
    return target.read_bytes()


FORMATS: dict[str, dict[str, Any]] = {
    f"{form.name} {activations.name} {weights.name} {'per channel' if per_channel else 'per tensor'}{reduced}": {
        "quant_format": form,
        "activation_type": activations,
        "weight_type": weights,
        "per_channel": per_channel,
        "reduce_range": bool(reduced),
    }
    for form in (QuantFormat.QDQ, QuantFormat.QOperator)
    for activations, weights, per_channel, reduced in (
        (INT8, INT8, False, ""),
        (INT8, INT8, True, ""),
        (UINT8, INT8, False, ""),
        (UINT8, INT8, True, ""),
        (UINT8, UINT8, False, ", reduced range"),
        (INT8, INT8, False, ", reduced range"),
        *(((INT8, INT4, True, ""), (INT8, INT4, False, "")) if form is QuantFormat.QDQ else ()),
    )
}


@pytest.mark.parametrize("name", FORMATS)
def test_static_quantization_in_every_format(name: str, prepared: Path, tmp_path: Path) -> None:
    model = quantized(prepared, tmp_path, **FORMATS[name])
    agreement = compare(model, samples=8, seed=3, spread=1.0)
    kinds = [op.kind for op in agreement.graph.ops]
    assert kinds.count("Transpose") <= 1, print_graph(agreement.graph)
    assert agreement.worst_lsb <= 2.001
    assert agreement.argmax_equal >= 7


def test_gemm_of_rows_with_a_scale_each_in_operator_format(prepared: Path, tmp_path: Path) -> None:
    """QGemm has its channels where transB says; onnxruntime writes it so for every torch Linear."""
    options = FORMATS["QOperator QUInt8 QInt8 per channel"]
    model = onnx.load_from_string(quantized(prepared, tmp_path, **options))
    gemm = next(node for node in model.graph.node if node.op_type == "QGemm")
    assert {a.name: a.i for a in gemm.attribute}["transB"] == 1
    assert "FullyConnected" in print_graph(import_onnx(model.SerializeToString(), "net"))


def test_asymmetric_weights_that_need_nine_bits_are_refused(prepared: Path, tmp_path: Path) -> None:
    model = quantized(prepared, tmp_path, activation_type=UINT8, weight_type=UINT8, quant_format=QuantFormat.QDQ)
    with pytest.raises(UnsupportedModelError, match="do not fit int8 without it; quantize weights symmetrically"):
        import_onnx(model, "net")
