"""Recipes: (task, preset) -> function returning a method's frozen configuration."""
