"""Float ONNX to int8 QDQ ONNX by static quantization on calibration data."""

from services.compiler.quantize.fidelity import Fidelity, fidelity
from services.compiler.quantize.options import CalibrationMethod, QuantizeOptions
from services.compiler.quantize.quantize import quantize_onnx

__all__ = ["CalibrationMethod", "Fidelity", "QuantizeOptions", "fidelity", "quantize_onnx"]
