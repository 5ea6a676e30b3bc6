"""What serving loads: a model folder, its tokenizer and its ONNX Runtime session."""
