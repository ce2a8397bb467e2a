"""The command `fer`, run in a fork of the warm process where there is one."""

import sys

from fer import warm


def main() -> None:
    status = warm.ask(sys.argv)
    if status is None:
        from fer.cli import main as run

        run()
    sys.exit(status)


if __name__ == "__main__":
    main()
