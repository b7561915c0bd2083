"""From the options of a quantization request to those of quantize/, and from its fidelity to a message."""

from __future__ import annotations

from services.compiler.quantize import Fidelity, QuantizeOptions, WeightType
from tinyfarm.v1 import compile_pb2, metric_pb2

_WEIGHTS = {
    compile_pb2.WEIGHT_TYPE_UNSPECIFIED: WeightType.INT8,
    compile_pb2.WEIGHT_TYPE_INT8: WeightType.INT8,
    compile_pb2.WEIGHT_TYPE_INT4: WeightType.INT4,
    compile_pb2.WEIGHT_TYPE_MIXED: WeightType.MIXED,
}


def quantize_options_from_proto(spec: compile_pb2.QuantizeSpec) -> QuantizeOptions:
    """Return the options; 0 samples are as many as the options take by default."""
    weights = _WEIGHTS[spec.weights]
    return QuantizeOptions(max_samples=spec.max_samples or QuantizeOptions().max_samples, weights=weights)


def fidelity_to_proto(found: Fidelity, suffix: str = "") -> list[metric_pb2.Metric]:
    """Return what is known of how close a quantized model stays to its float model; `suffix` ends the names."""
    figures = (("argmax_agreement", found.argmax_agreement, "ratio"), ("sqnr", found.sqnr_db, "dB"))
    return [
        metric_pb2.Metric(
            name=f"{name}{suffix}",
            value=value,
            unit=unit,
            provenance=metric_pb2.PROVENANCE_EXACT,
            source=f"float and quantized model on {found.samples} calibration samples in onnxruntime",
        )
        for name, value, unit in figures
        if value is not None
    ]
