"""Long work: records and events in Redis, delivery by a queue, supervised child processes that do it."""
