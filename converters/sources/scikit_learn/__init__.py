"""Trained scikit-learn estimators and pipelines, from joblib or pickle files, by way of skl2onnx."""
