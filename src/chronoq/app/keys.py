"""Fresh names for jobs and processes."""

import base64
import os
import platform
import random


def new_key() -> str:
    """A job's key: 80 random bits in 16 characters."""
    return base64.b32encode(os.urandom(10)).decode().lower()


def new_process_id(host: str) -> str:
    """A process's name: where it runs, its pid, and what tells it from one that had the pid before."""
    return f"{host}-{os.getpid()}-{random.getrandbits(24):06x}"


def host_name() -> str:
    return platform.node() or "localhost"
