"""The demonstration behind ``scripts/demo``: four models, trained, converted, published, served and called."""
