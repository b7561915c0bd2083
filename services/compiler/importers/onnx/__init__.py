"""ONNX to the intermediate representation: QDQ and QLinear int8 models."""

from services.compiler.importers.onnx.importer import import_onnx

__all__ = ["import_onnx"]
