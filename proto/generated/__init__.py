"""Message classes and their types, written by ``scripts/protos`` from the ``.proto`` files; never edited by hand."""
