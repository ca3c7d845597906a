"""Tokenises texts and collates episodes into padded arrays."""
