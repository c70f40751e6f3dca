"""An n-gram language model over subwords: interpolated modified Kneser-Ney in whole arrays."""
