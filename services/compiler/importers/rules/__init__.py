"""The rules of what can be compiled: a docstring states the rule, the result is the reason where it is broken."""
