"""What decides whether normal cells of free covariances are ideal."""
