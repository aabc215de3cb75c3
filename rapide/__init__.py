"""rapide: a trained model becomes a fast, honest prediction service."""

__version__ = "0.1.0"
