"""What a user names and owns: inputs, parameters and state, and the files that their values are kept in."""
