"""The lectures' sentences on their cells, as experiments with a verdict. Row 8 of the mission."""

from carousel.insight.claims import forget, peepholes, projection

CLAIMS = {c.name: c for c in (projection.CLAIM, forget.CLAIM, peepholes.CLAIM)}
