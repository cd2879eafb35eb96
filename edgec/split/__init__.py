"""Split computing: a head on the device, a tail on a server, and what travels between them."""
