"""The models for serving: a model folder, its tokenizer and its ONNX Runtime session."""
