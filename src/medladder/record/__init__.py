"""What a study leaves on disk, readable without medladder; numpy only."""
