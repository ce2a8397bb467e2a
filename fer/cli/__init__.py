"""The command line: `main` gathers the commands; each other module has those of one group, and their options."""
