"""Keras models (.keras, .h5), opened on its torch backend, whose exporter makes the graph."""
