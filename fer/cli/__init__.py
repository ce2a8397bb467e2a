"""The command line: `main` collects the commands; each other module holds a group of them, or what they share."""
