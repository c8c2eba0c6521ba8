"""What was known, what was predicted, what happened: kept across sessions in one SQLite file."""
