"""Sources: outside inputs read into pairs and passages, one module per source."""
