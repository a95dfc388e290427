"""What a model can do, in numbers; each function says what it measures and against what."""
