"""Float ONNX to QDQ ONNX, int8 with int8 or int4 weights, by static quantization on calibration data."""

from services.compiler.quantize.fidelity import Fidelity, fidelity
from services.compiler.quantize.options import CalibrationMethod, QuantizeOptions, WeightType
from services.compiler.quantize.quantize import quantize_onnx

__all__ = ["CalibrationMethod", "Fidelity", "QuantizeOptions", "WeightType", "fidelity", "quantize_onnx"]
