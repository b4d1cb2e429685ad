"""What this room counts: see graphc/ir/indices.py.

value     in the list that `Value`s are in
task      in the list that `Task`s are in, before they have an order
position  in an order of tasks
step      in a schedule: the position in the order of all that it runs
instance  among the values of a schedule: the problem's values, then those that were rematerialised
"""

from __future__ import annotations

from typing import NewType

__all__ = ["Instance", "Position", "StepNumber", "TaskNumber", "ValueNumber"]

ValueNumber = NewType("ValueNumber", int)
TaskNumber = NewType("TaskNumber", int)
Position = NewType("Position", int)
StepNumber = NewType("StepNumber", Position)
Instance = NewType("Instance", ValueNumber)
