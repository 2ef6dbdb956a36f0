"""Who may connect, for how long, and with how much: sockets, deadlines, bodies, hosts, keys."""
