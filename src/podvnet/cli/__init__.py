"""The command line. Thin: reads arguments, calls a room, prints. Slow libraries are imported where they are used."""
