"""The compiler's intermediate representation: a frozen graph of int8 operators, NHWC activations, OHWI weights."""
