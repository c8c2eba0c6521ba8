"""`python -m hwtune` is `hwtune`."""

from hwtune.cli.main import main

if __name__ == "__main__":
    main()
