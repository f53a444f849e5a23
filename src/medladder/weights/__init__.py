"""Fitted rungs as plain arrays and small facts: taken apart, checked, and put together again."""
