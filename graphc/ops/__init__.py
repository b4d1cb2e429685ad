"""All operations. Importing the package fills the tables `OPS` and `FUNCTIONS` of `graphc.ops.record`.
`primitives/` holds what a node can be, `functions/` what users call that is made of them; beside them stands what both
are built with.
"""

from graphc.ops import functions, primitives, reference

__all__ = ["functions", "primitives", "reference"]
