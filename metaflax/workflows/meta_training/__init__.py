"""Meta-trains, pretrains and searches settings."""
