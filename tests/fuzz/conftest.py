"""``pytest tests/fuzz --hypothesis-profile=long`` tries a hundred times as much."""

from hypothesis import settings

settings.register_profile("long", max_examples=10_000, deadline=None)
