"""What the trials of a study show, as numbers with intervals, comparisons and a verdict; reads the record only."""
