"""Faces of other schedulers over chronoq's engine, for programs that were written for those."""
