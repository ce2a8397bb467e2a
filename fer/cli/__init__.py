"""The command line: `main` collects the commands; the other modules hold a group of commands each, or what they share."""
