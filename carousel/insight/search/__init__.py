"""A text searched by a model's states: places where units do the same, nearest states, a unit's highest and lowest."""
