"""`python -m plumbline COMMAND` is the command `plumbline`."""

from plumbline.command import main

if __name__ == "__main__":
    main()
