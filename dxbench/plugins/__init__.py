"""Plug-ins: how a name becomes a task, a method, a configuration or a suite."""
