"""Trained model → ONNX → proven equal → published version. Never imported by ``rapide.server``."""
