"""A cell as a drawing: its graph, placed, routed, written as SVG."""
