"""What the first rows fix."""
