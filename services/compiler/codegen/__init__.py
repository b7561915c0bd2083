"""From a planned schedule to C99: calls, constants and text."""
