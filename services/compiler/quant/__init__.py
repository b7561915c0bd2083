"""Int8 arithmetic: requantization, lookup tables and the numpy reference of every operator, bit for bit TFLM's."""
