"""What a report or a picture of a monitor shows: gathered from its table and the store, written nowhere."""
