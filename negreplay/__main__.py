"""`python -m negreplay`, where the command itself is not on the path."""

from negreplay.cli.main import main

if __name__ == "__main__":
    main()
