"""How fast this is, beside OpenAI's code."""
