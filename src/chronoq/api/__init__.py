"""The face that people embed."""
