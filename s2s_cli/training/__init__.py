"""How networks learn: recipes, losses, one update per stage, and the one loop."""
