"""Hugging Face transformers, from the folder that ``save_pretrained`` wrote: token ids in; embeddings or class
probabilities out, with pooling and normalisation in the graph."""
