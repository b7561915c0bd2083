"""What a command's exit code says (docs/errors.md); 0 is done."""

BUDGET_BROKEN = 1
NOT_DONE = 2
INTERRUPTED = 130
