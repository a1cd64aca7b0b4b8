"""How long to leave alone what has failed. Pure."""


def doubled(first: float, times: int, most: float) -> float:
    """``first`` seconds doubled so many times, ``most`` at most: the pauses of what is tried again, for months if need be."""
    return min(most, first * 2.0 ** min(times, 64))
