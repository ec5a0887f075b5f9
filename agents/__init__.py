"""Learning rules and their parts: networks, replay memory, exploration, schedules."""
