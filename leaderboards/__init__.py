"""Tables generated from the committed records; `python -m leaderboards` writes them anew."""
