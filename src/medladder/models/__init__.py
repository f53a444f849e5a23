"""A fitted rung in a folder: made, read, asked, evaluated, described."""
