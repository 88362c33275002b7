"""The command line. The library imports none of it; each command imports what it needs when it runs."""
