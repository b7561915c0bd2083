"""Int8 models to lean C: importers, passes, schedules, memory planning and code generation."""
