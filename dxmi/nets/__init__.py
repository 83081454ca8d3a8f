"""Networks. Plain torch, parameters drawn from an explicit generator."""
