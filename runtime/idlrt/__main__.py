"""Entry point of `python -m idlrt`."""

from idlrt.cli import main

if __name__ == "__main__":
    main(prog_name="idlrt")
