"""A differential fuzzer: random programs, of every function there is, on every engine against the reference.

    grow.py    a program from a seed: leaves, views of views, sums of terms, every function of the table, gradients
    views.py   programs of views of views, read by products, sums and joins
    adapt.py   tensors brought to the shape, the type and the range that a function asks for
    oracle.py  what a program may answer: the reference, run again with its rounding errors drawn anew
    judge.py   the faults of a program: crashes, endless compilations, wrong values, bits that depend on threads
    shrink.py  the smallest graph that still has the fault, and a script that shows it

`python -m tests.fuzz --count 20000 --seed 0` runs as many as wanted, with a report of each fault made small.
"""
