"""Generated protobuf and gRPC code of the package tinyfarm.v1 (see protos/)."""
