"""`python -m dxbench` is `dxbench`."""

from dxbench.cli import main

if __name__ == "__main__":
    main()
