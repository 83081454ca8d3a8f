"""The leaderboard as a static site in one folder, which needs neither network nor server."""
