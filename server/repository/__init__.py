"""Models on disk: layout, manifests, labels, publishing, watching."""
