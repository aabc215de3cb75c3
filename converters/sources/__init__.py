"""What a trained model can come from: one folder or module per source, behind one table (``table.py``)."""
