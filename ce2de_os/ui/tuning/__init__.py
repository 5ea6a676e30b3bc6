"""Evaluate and tune: the comparison of `ce2de_os.quality`, weights to try, and the winner to take away."""
