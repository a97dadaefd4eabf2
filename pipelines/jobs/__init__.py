"""Background jobs: the queue, the worker process, and the supervisor that watches them."""
