"""One file a verb; each reads its arguments, calls the room that does the work, and shows the result."""
