"""The gRPC server every service runs, and the servicers they all share: artifacts and jobs."""
