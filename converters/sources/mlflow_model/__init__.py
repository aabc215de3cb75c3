"""MLflow models: fetched from a registry or run, or lying in a folder; what is in them is another source's."""
