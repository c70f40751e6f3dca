"""What several sources need of markup, of page frames, and of what texts say of themselves."""
