"""The two doors, gRPC and HTTP: sockets and frames on one side, ``InferenceService`` on the other."""
