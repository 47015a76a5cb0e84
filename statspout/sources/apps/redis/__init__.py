"""Redis: what applications record there after Aka Stats, each record once."""
