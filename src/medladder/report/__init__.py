"""The page a study ends in: drawn from the study's files alone, with neither torch nor image files."""
