"""Existing ONNX files: checked, cleaned and published like any other model."""
