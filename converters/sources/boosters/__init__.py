"""Gradient-boosted trees of XGBoost, LightGBM and CatBoost: alone, in files of their own, or within scikit-learn
pipelines, where they become part of the one graph.

Each library's model is read into one notation (``ensemble.py``), which is written as ONNX nodes (``graph.py``).
"""
