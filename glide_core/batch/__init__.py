"""Many rows on many machines: rows come in, shards of pictures go out, and what dies is done again."""
