"""The wire contracts (``.proto``) and what is generated from them (``scripts/protos``)."""
