"""Entry point of `python -m idlc`."""

from idlc.cli import main

if __name__ == "__main__":
    main(prog_name="idlc")
