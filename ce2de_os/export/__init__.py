"""Export: a trained student becomes a quantized ONNX artifact."""
