"""`python -m streams`: what `cmvigil` is, where its entry point is not installed."""

from streams.cli import main

if __name__ == "__main__":
    main()
