"""Between the compiler's values and the messages of CompilerService."""
