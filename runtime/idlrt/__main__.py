"""Entry point of `python -m idlrt`."""

from idlrt.cli import run

if __name__ == "__main__":
    run()
