"""What all sources share whose models come as whole graphs: PyTorch, transformers, Keras, existing ONNX files."""
