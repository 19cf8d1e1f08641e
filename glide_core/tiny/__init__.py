"""What makes and measures the embedded models: their data, lessons, recipes and judge."""
