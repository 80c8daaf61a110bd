"""Network architectures, written for static-shape ONNX export."""
