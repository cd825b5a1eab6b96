"""The student teaches itself: on challenging versions of its own samples, as hard as the agent finds useful."""
