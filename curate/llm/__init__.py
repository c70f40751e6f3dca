"""A language model: generate (schema-constrained), score (log-likelihood), choose (labels)."""
