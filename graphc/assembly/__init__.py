"""Puts a program together: groups, their code and their storage become one plan."""
