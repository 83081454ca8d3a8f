"""Schedules: noise levels, and chains of steps along them."""
