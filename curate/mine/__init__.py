"""Mine: better positives and hard negatives."""

SIMILARITY = "similarity"
"""The score of a Doc: the inner product of its unit vector with the query's."""
