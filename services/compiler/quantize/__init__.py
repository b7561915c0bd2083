"""Float ONNX to int8 QDQ ONNX by static quantization on calibration data."""

from services.compiler.quantize.accuracy import AccuracyDrop, accuracy_drop
from services.compiler.quantize.options import CalibrationMethod, QuantizeOptions
from services.compiler.quantize.quantize import quantize_onnx

__all__ = ["AccuracyDrop", "CalibrationMethod", "QuantizeOptions", "accuracy_drop", "quantize_onnx"]
