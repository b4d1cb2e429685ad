"""What the command line does, one module for each command. `graphc.cli` reads the arguments."""
