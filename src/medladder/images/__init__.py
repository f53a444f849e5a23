"""From files to arrays at working size: one road, used by every part that reads an image."""
