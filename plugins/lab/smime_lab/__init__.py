"""The lab: a demo CA, demo users, the relay and a next hop on one machine, for developers."""
