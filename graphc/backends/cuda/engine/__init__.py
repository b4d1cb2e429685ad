"""A plan on a device: nodes of one graph, memory, parameters, the arrays of a call."""
