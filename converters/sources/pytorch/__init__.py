"""PyTorch modules and exported programs, by way of ``torch.export``."""
