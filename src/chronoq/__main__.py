"""`python -m chronoq` and the `chronoq` program."""

import sys


def main() -> None:
    from chronoq.cli.main import run

    sys.exit(run())


if __name__ == "__main__":
    main()
