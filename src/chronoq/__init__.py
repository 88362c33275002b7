"""chronoq: accepts work now and runs it at the right moment, once, on whichever machine is free."""
