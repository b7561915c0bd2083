"""Images and labels: where they come from, how they are split, augmented and brought to the input size."""
