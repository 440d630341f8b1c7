"""What devices send, on its way into the database: reports, points, console lines, events, alarms."""
